"""Probes with made-up texts: does a model compute each text as if it were alone?

The result for a text must not depend on the padding in its row, on the other texts in its batch, or on the texts before
it in a shared row. Attention obeys its mask, but convolutions, scans and recurrences have none. Each probe runs one
layout twice with different neighbours, where not even rounding may differ, and compares it once with the texts alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from duolearn_cli.model.encoding import Batch, Encoded, collate
from duolearn_cli.model.shared_prefix import collate_branches

# From a batch to its last hidden states, one row for each token in the order of the texts: [tokens, width].
States = Callable[[Batch], Tensor]
# Longer than what a convolution sees (4 tokens), so that a leak through a recurrent state shows too.
LENGTHS = (7, 9, 11)
SHARED = 6
# Largest relative distances of a token: from the text alone (APART), and between layouts with other neighbours (LEAK).
# Measured on 90 random models of 2 layers on a CPU. If texts do not influence each other, the distances were 1e-6 and 0
# (with experts up to 3e-7). The smallest leak was 4e-5 (LFM2's short convolution).
APART, LEAK = 1e-4, 1e-5
# The same in bfloat16, where the distances of the same models and some of 30 layers were up to 0.03 and 0. One rounding
# (2^-8) is allowed for LEAK. A wrong position changes states by 0.2 and more.
ROUNDED_APART, ROUNDED_LEAK = 0.1, 2**-8


def shares_batches(states: States, vocabulary: int, window: int | None, *, rounded: bool) -> bool:
    """Return whether texts in padded rows are computed as if alone, and no token depends on later ones.

    Args:
        states: returns the last hidden states of a batch.
        vocabulary: the number of token ids.
        window: the model's sliding window in tokens, or None.
        rounded: the weights have 16 bits, so that rounding explains larger distances.
    """
    lengths = _lengths(window)
    texts = [_text(vocabulary, length, seed) for seed, length in enumerate(lengths)]
    others = [texts[0], *(_text(vocabulary, length, 9) for length in lengths[1:])]
    together, other = (states(collate(some, "text")) for some in (texts, others))
    # Two texts with the same beginning: its states must not depend on how the texts continue.
    start = texts[-1].ids[: lengths[-1] // 2]
    going_on = [_branch(start, _text(vocabulary, lengths[-1] - len(start), seed)) for seed in (0, 9)]
    one, two = states(collate(going_on, "text")).unflatten(0, (2, -1))[:, : len(start)]
    leaks = [_worst(together[: lengths[0]], other[: lengths[0]]), _worst(one, two)]
    return _holds(leaks, _worst(together, _alone(states, texts)), rounded)


def shares_rows(states: States, vocabulary: int, window: int | None, *, rounded: bool) -> bool:
    """Return whether texts that follow each other in a row are computed as if alone.

    Arguments: see `shares_batches`.
    """
    lengths = _lengths(window)
    texts = [_text(vocabulary, length, seed) for seed, length in enumerate(lengths)]
    others = [texts[1] if i == 1 else _text(vocabulary, length, 9) for i, length in enumerate(lengths)]
    packed, other = (states(collate(some, "text", pack_to=sum(lengths))) for some in (texts, others))
    own = slice(lengths[0], lengths[0] + lengths[1])
    return _holds([_worst(packed[own], other[own])], _worst(packed, _alone(states, texts)), rounded)


def shares_beginnings(states: States, vocabulary: int, window: int | None, *, rounded: bool) -> bool:
    """Return whether texts that share their beginning in a row are computed as if alone (see shared_prefix.py).

    Arguments: see `shares_batches`.
    """
    shared = SHARED if window is None else max(1, min(SHARED, window // 2))
    lengths = _lengths(None if window is None else window - shared)
    trunk = _text(vocabulary, shared, 0).ids
    texts = [_branch(trunk, _text(vocabulary, length, seed)) for seed, length in enumerate(lengths, start=1)]
    # Only the second of three texts stays the same.
    others = [texts[1] if i == 1 else _branch(trunk, _text(vocabulary, n, 9)) for i, n in enumerate(lengths)]
    laid_out, other = (states(collate_branches([some], ["text"] * len(some))) for some in (texts, others))
    start = len(texts[0].ids)
    own = slice(start, start + len(texts[1].ids))
    return _holds([_worst(laid_out[own], other[own])], _worst(laid_out, _alone(states, texts)), rounded)


def _alone(states: States, texts: Sequence[Encoded]) -> Tensor:
    return torch.cat([states(collate([text], "text")) for text in texts])


def same(one: Tensor, other: Tensor, *, rounded: bool) -> bool:
    """Return whether vectors are equal except for rounding in kernels on other shapes. Shapes: both [tokens, width]."""
    return _worst(one, other) <= (ROUNDED_APART if rounded else APART)


def made_up(vocabulary: int, length: int, seed: int) -> tuple[int, ...]:
    """Return random tokens from the whole vocabulary, because its first rows are often special or untrained."""
    return tuple(torch.randint(vocabulary, (length,), generator=torch.Generator().manual_seed(seed)).tolist())


def _lengths(window: int | None) -> list[int]:
    """Return the lengths of the probe's texts, within the window: longer texts never share a row. At least 2 tokens."""
    return [length if window is None else max(2, min(length, window)) for length in LENGTHS]


def _holds(leaks: Sequence[float], distance: float, rounded: bool) -> bool:
    """Return whether rounding explains all distances. NaN is never explained."""
    leak, apart = (ROUNDED_LEAK, ROUNDED_APART) if rounded else (LEAK, APART)
    return all(one <= leak for one in leaks) and distance <= apart


def _worst(one: Tensor, other: Tensor) -> float:
    """Return the largest relative distance of a token's vectors. Shapes: both [tokens, width]."""
    one, other = one.float(), other.float()
    return float(((one - other).norm(dim=-1) / other.norm(dim=-1)).max())


def _text(vocabulary: int, length: int, seed: int) -> Encoded:
    return _encoded(made_up(vocabulary, length, seed))


def _branch(trunk: tuple[int, ...], own: Encoded) -> Encoded:
    return _encoded(trunk + own.ids)


def _encoded(ids: tuple[int, ...]) -> Encoded:
    return Encoded("", ids, tuple((i, i + 1) for i in range(len(ids))), (True,) * len(ids))
