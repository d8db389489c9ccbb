"""Additive masks on attention keys, and keeping what attention writes (method.md section 4, our definition).

The paper names concept-aware attention and does not define it. Nothing here reads attention weights, so that sdpa and
eager attention serve alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from duolearn_cli.errors import ModelError

# What transformers hands a 4-D mask to unchanged; flash attention knows lengths only.
IMPLEMENTATIONS = ("eager", "sdpa")
MEND = "leave the method's key biases at 0 and unlearn.packing=false"
# Kernels in half precision differ by less; a text that sees another, or has other positions, by more.
PROBE_TOLERANCE = 0.05
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


def check_masks(decoder: Any, name: str) -> int | None:
    """Return the length of the longest text for which an additive mask holds; None for any length.

    A 4-D mask replaces the sliding window that transformers would have made: within the window they are the same.

    Raises:
        ModelError: the attention implementation takes no such mask, or the architecture does not obey it.
    """
    used = decoder.config._attn_implementation
    if used not in IMPLEMENTATIONS:
        raise ModelError(
            f"{name} attends with {used}, which takes no additive mask; allowed: {', '.join(IMPLEMENTATIONS)}. Mend: "
            f'"attn_implementation": "sdpa" in the model\'s config.json; or {MEND}.'
        )
    try:
        difference = _probe(decoder)
    except (TypeError, ValueError, RuntimeError, IndexError, KeyError) as error:
        raise ModelError(f"{name} takes no additive mask ({str(error).splitlines()[0]}). Mend: {MEND}.") from error
    if difference > PROBE_TOLERANCE:
        raise ModelError(f"{name} does not keep apart what an additive mask keeps apart. Mend: {MEND}.")
    windows = [getattr(decoder.config, key, None) for key in ("sliding_window", "attention_chunk_size")]
    return min((window for window in windows if window), default=None)


def check_length(longest: int, window: int | None, name: str) -> None:
    """Raises ModelError where a text of `longest` tokens reaches beyond the model's own window."""
    if window is not None and longest > window:
        raise ModelError(
            f"{name} attends within a window of {window} tokens, and a text has {longest}: an additive mask would undo "
            f"the window. Mend: prompt.max_tokens={window}, or {MEND}."
        )


@torch.no_grad()
def _probe(decoder: Any) -> float:
    """Relative distance of the last hidden states of a text in a row with another one from those of the text alone."""
    ids = torch.tensor([[1, 2, 3, 4, 5]], device=next(decoder.parameters()).device)
    mask = additive_mask(torch.tensor([[1, 1, 1, 2, 2]], device=ids.device), None, decoder.dtype)
    places = torch.tensor([[0, 1, 2, 0, 1]], device=ids.device)
    packed = decoder(input_ids=ids, attention_mask=mask, position_ids=places, use_cache=False).last_hidden_state
    alone = decoder(input_ids=ids[:, 3:], use_cache=False).last_hidden_state
    return float((packed[:, 3:] - alone).norm() / alone.norm())


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
