"""Additive masks on attention keys, and keeping what attention writes (method.md section 4, our definition).

The paper names concept-aware attention and does not define it. Nothing here reads attention weights, so that sdpa and
eager attention serve alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from duolearn_cli.errors import ModelError

# What transformers hands a 4-D mask to unchanged; flash attention knows lengths only.
IMPLEMENTATIONS = ("eager", "sdpa")
MEND = "leave the method's key biases at 0 and unlearn.packing=false"
# What configurations call the number of tokens that a layer looks back.
WINDOWS = ("sliding_window", "attention_chunk_size", "window_size", "attention_window_size", "local_attention")
# How an architecture says that it takes no such mask.
REFUSALS = (TypeError, ValueError, RuntimeError, IndexError, KeyError, AttributeError)
# Keeps a token to which attention wrote nothing from dividing by zero.
EPSILON = 1e-6


def additive_mask(segment: Tensor, key_bias: Tensor | None, dtype: torch.dtype, trunk: Tensor | None = None) -> Tensor:
    """What is added to attention scores before the softmax. Shapes: all [rows, length] -> [rows, 1, query, key].

    A query sees the keys of its own segment up to itself, and those of its trunk, the segment that its own goes on
    from, each with its bias; all others get the lowest finite number, as in transformers. Segment 0 is padding, which
    sees padding: no query is left without a key.
    """
    length = segment.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=segment.device).tril()
    seen = segment[:, :, None] == segment[:, None, :]
    if trunk is not None:
        seen = seen | (trunk[:, :, None] == segment[:, None, :])
    seen = seen & causal
    bias = torch.zeros_like(segment, dtype=dtype) if key_bias is None else key_bias.to(dtype)
    return torch.where(seen, bias[:, None, :], torch.finfo(dtype).min)[:, None]


def check_masks(decoder: Any, name: str, keeps_apart: Callable[[], bool]) -> None:
    """Raises ModelError where the attention implementation takes no additive mask, or the architecture obeys none.

    `keeps_apart` says whether texts of a row are computed as if alone (see isolation.py).
    """
    used = decoder.config._attn_implementation
    if used not in IMPLEMENTATIONS:
        raise ModelError(
            f"{name} attends with {used}, which takes no additive mask; allowed: {', '.join(IMPLEMENTATIONS)}. Mend: "
            f'"attn_implementation": "sdpa" in the model\'s config.json; or {MEND}.'
        )
    try:
        is_apart = keeps_apart()
    except REFUSALS as error:
        raise ModelError(f"{name} takes no additive mask ({str(error).splitlines()[0]}). Mend: {MEND}.") from error
    if not is_apart:
        raise ModelError(
            f"{name} does not keep apart what an additive mask keeps apart: a text would change with the one before it "
            f"in its row. Mend: {MEND}."
        )


def window_of(config: Any) -> int | None:
    """The length of the longest text for which an additive mask holds; None for any length.

    A 4-D mask replaces the sliding window that transformers would have made: within the window they are the same.
    """
    windows = [getattr(config, key, None) for key in WINDOWS]
    return min((window for window in windows if isinstance(window, int) and window), default=None)


def check_length(longest: int, window: int | None, name: str) -> None:
    """Raises ModelError where a text of `longest` tokens reaches beyond the model's own window."""
    if window is not None and longest > window:
        raise ModelError(
            f"{name} attends within a window of {window} tokens, and a text has {longest}: an additive mask would undo "
            f"the window. Mend: {MEND}."
        )


def evenly_spaced(num_layers: int, count: int) -> list[int]:
    """Indices of `count` layers, or of all if there are fewer, the last one among them."""
    count = min(count, num_layers)
    return [(i + 1) * num_layers // count - 1 for i in range(count)]


@contextmanager
def recorded(decoder: Any, count: int, name: str) -> Iterator[dict[nn.Module, Tensor]]:
    """Collect what the self-attention of `count` evenly spaced layers writes in the last forward, by module.

    Shapes: each [rows, length, width], with a gradient where the forward has one. `count` 0 records nothing.

    Raises:
        ModelError: the layers have no `self_attn`.
    """
    outputs: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        outputs[module] = output[0] if isinstance(output, tuple) else output

    modules = _attention_modules(decoder, count, name) if count else []
    hooks = [module.register_forward_hook(keep) for module in modules]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def _attention_modules(decoder: Any, count: int, name: str) -> Sequence[nn.Module]:
    layers = getattr(decoder, "layers", ())
    found = [getattr(layers[i], "self_attn", None) for i in evenly_spaced(len(layers), count)]
    modules = [module for module in found if isinstance(module, nn.Module)]
    if not modules or len(modules) < len(found):
        raise ModelError(f"{name} has no layers with a self_attn to be kept. Mend: method.attention_weight=0.")
    return modules


def retention(outputs: Tensor, target: Tensor) -> Tensor:
    """Mean over layers of ``|o - o_target|^2 / (|o_target|^2 + eps)``. Shapes: both [layers, p, width] -> [p].

    `target` gets no gradient.
    """
    wide = torch.promote_types(outputs.dtype, torch.float32)
    outputs, target = outputs.to(wide), target.detach().to(wide)
    return ((outputs - target).square().sum(-1) / (target.square().sum(-1) + EPSILON)).mean(0)
