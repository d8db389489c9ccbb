"""Concept-aware attention: additive masks on attention keys, and a penalty for changes of what attention writes.

The paper names concept-aware attention and does not define it, so this is our definition. Nothing here reads attention
weights, so both sdpa and eager attention work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from duolearn_cli.errors import ModelError

# Implementations to which transformers passes a 4-D mask unchanged. Flash attention only takes lengths.
IMPLEMENTATIONS = ("eager", "sdpa")
FIX = "leave the method's key biases at 0 and unlearn.packing=false"
# The names that configurations use for the number of tokens that a layer looks back.
WINDOWS = ("sliding_window", "attention_chunk_size", "window_size", "attention_window_size", "local_attention")
# The errors that architectures raise if they cannot use such a mask.
REFUSALS = (TypeError, ValueError, RuntimeError, IndexError, KeyError, AttributeError)
# Avoids a division by zero for a token to which attention wrote nothing.
EPSILON = 1e-6


def additive_mask(segment: Tensor, key_bias: Tensor | None, dtype: torch.dtype, trunk: Tensor | None = None) -> Tensor:
    """Return the mask that is added to attention scores before the softmax.

    A query sees the keys of its own segment up to itself, and those of its trunk (the segment that its own continues),
    each with the key's bias. All other keys get the lowest finite number, as in transformers. Segment 0 is padding.

    Args:
        segment: the segment of each token, [rows, length].
        key_bias: a bias for each token as a key, [rows, length]; None: no bias.
        dtype: the type of the mask, that of the attention scores.
        trunk: the segment that each token's segment continues, [rows, length]; None: there are none.

    Returns:
        The mask, [rows, 1, query, key].
    """
    length = segment.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=segment.device).tril()
    # Padding is a segment like any other: it sees padding, so that no query is left without a key.
    seen = segment[:, :, None] == segment[:, None, :]
    if trunk is not None:
        seen = seen | (trunk[:, :, None] == segment[:, None, :])
    seen = seen & causal
    bias = torch.zeros_like(segment, dtype=dtype) if key_bias is None else key_bias.to(dtype)
    return torch.where(seen, bias[:, None, :], torch.finfo(dtype).min)[:, None]


def check_masks(decoder: Any, name: str, keeps_apart: Callable[[], bool]) -> None:
    """Check that the model takes an additive mask and obeys it.

    `keeps_apart` runs a probe and returns whether the texts of a row are computed as if alone (see isolation.py).

    Raises:
        ModelError: the attention implementation takes no additive mask, or the architecture ignores it.
    """
    used = decoder.config._attn_implementation
    if used not in IMPLEMENTATIONS:
        raise ModelError(
            f"{name} attends with {used}, which takes no additive mask; allowed: {', '.join(IMPLEMENTATIONS)}. Fix: "
            f'set "attn_implementation": "sdpa" in the model\'s config.json, or {FIX}.'
        )
    try:
        is_apart = keeps_apart()
    except REFUSALS as error:
        raise ModelError(f"{name} takes no additive mask ({str(error).splitlines()[0]}). Fix: {FIX}.") from error
    if not is_apart:
        raise ModelError(
            f"{name} does not separate the texts that an additive mask separates: a text would change with the one "
            f"before it in its row. Fix: {FIX}."
        )


def window_of(config: Any) -> int | None:
    """Return the length of the longest text for which an additive mask is exact; None for any length.

    A 4-D mask replaces the model's sliding window, and the two only agree on texts within the window.
    """
    windows = [getattr(config, key, None) for key in WINDOWS]
    return min((window for window in windows if isinstance(window, int) and window), default=None)


def check_length(longest: int, window: int | None, name: str) -> None:
    """Check that a text of `longest` tokens fits into the model's own window. Raises ModelError otherwise."""
    if window is not None and longest > window:
        raise ModelError(
            f"{name} attends within a window of {window} tokens, and a text has {longest}: an additive mask would undo "
            f"the window. Fix: {FIX}."
        )


def evenly_spaced(num_layers: int, count: int) -> list[int]:
    """Return the indices of `count` evenly spaced layers, including the last; of all layers if there are fewer."""
    count = min(count, num_layers)
    return [(i + 1) * num_layers // count - 1 for i in range(count)]


@contextmanager
def recorded(decoder: Any, count: int, name: str) -> Iterator[dict[nn.Module, Tensor]]:
    """Collect the outputs of self-attention in `count` evenly spaced layers, by module, from the last forward.

    Shapes: each output is [rows, length, width], with a gradient if the forward has one. `count` 0 records nothing.

    Raises:
        ModelError: the layers of the architecture, called `name` in the message, have no `self_attn`.
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
    candidates = [getattr(layers[i], "self_attn", None) for i in evenly_spaced(len(layers), count)]
    modules = [module for module in candidates if isinstance(module, nn.Module)]
    if not modules or len(modules) < len(candidates):
        raise ModelError(f"{name} has no layers with a self_attn to preserve. Fix: method.attention_weight=0.")
    return modules


def retention(outputs: Tensor, target: Tensor) -> Tensor:
    """Return the relative change of attention outputs: the mean over layers of ``|o - t|^2 / (|t|^2 + eps)``.

    Shapes: `outputs` (o) and `target` (t) are [layers, p, width]; the result is [p]. `target` gets no gradient.
    """
    wide = torch.promote_types(outputs.dtype, torch.float32)
    outputs, target = outputs.to(wide), target.detach().to(wide)
    return ((outputs - target).square().sum(-1) / (target.square().sum(-1) + EPSILON)).mean(0)
