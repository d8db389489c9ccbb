"""Whether a model keeps apart the texts that go through it together: probes with made-up texts.

A text must be computed as if it were alone, whatever fills its row, stands beside it in the batch or, where texts share
a row, before it. Attention obeys its mask; convolutions, scans and recurrences beside it have none. Each probe runs the
same layout twice with other neighbours, where not even rounding may differ, and once compares with the texts alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from duolearn_cli.model.encoding import Batch, Encoded, collate
from duolearn_cli.model.shared_prefix import collate_branches

# The last hidden states of a batch, one a token in the order of its texts. Shape: [tokens, width].
States = Callable[[Batch], Tensor]
# Lengths beyond what a convolution sees (4 tokens), so that a leak by way of a state shows beside it.
LENGTHS = (7, 9, 11)
SHARED = 6
# Relative, of the token that is most apart. Measured on 90 random models of 2 layers on a CPU: where texts are apart,
# 1e-6 from the text alone, and from the same layout with other neighbours nothing (with experts up to 3e-7). The
# smallest leak was 4e-5 (LFM2's short convolution).
APART, LEAK = 1e-4, 1e-5
# In bfloat16 the same models and some of 30 layers were up to 0.03 from the text alone, and again nothing from the same
# layout with other neighbours: one rounding (2^-8) is allowed there. Other positions are off by 0.2 and more.
ROUNDED_APART, ROUNDED_LEAK = 0.1, 2**-8


def shares_batches(states: States, vocabulary: int, window: int | None, *, rounded: bool) -> bool:
    """Whether texts side by side, filled up on the right, are computed as if alone, and none looks ahead."""
    lengths = _lengths(window)
    texts = [_text(vocabulary, length, seed) for seed, length in enumerate(lengths)]
    others = [texts[0], *(_text(vocabulary, length, 9) for length in lengths[1:])]
    together, other = (states(collate(some, "text")) for some in (texts, others))
    start = texts[-1].ids[: lengths[-1] // 2]
    going_on = [_branch(start, _text(vocabulary, lengths[-1] - len(start), seed)) for seed in (0, 9)]
    one, two = states(collate(going_on, "text")).unflatten(0, (2, -1))[:, : len(start)]
    leaks = [_worst(together[: lengths[0]], other[: lengths[0]]), _worst(one, two)]
    return _holds(leaks, _worst(together, _alone(states, texts)), rounded)


def shares_rows(states: States, vocabulary: int, window: int | None, *, rounded: bool) -> bool:
    """Whether texts one after the other in a row, each with positions of its own, are computed as if alone."""
    lengths = _lengths(window)
    texts = [_text(vocabulary, length, seed) for seed, length in enumerate(lengths)]
    others = [texts[1] if i == 1 else _text(vocabulary, length, 9) for i, length in enumerate(lengths)]
    packed, other = (states(collate(some, "text", pack_to=sum(lengths))) for some in (texts, others))
    own = slice(lengths[0], lengths[0] + lengths[1])
    return _holds([_worst(packed[own], other[own])], _worst(packed, _alone(states, texts)), rounded)


def shares_beginnings(states: States, vocabulary: int, window: int | None, *, rounded: bool) -> bool:
    """Whether texts that go on from one beginning in a row are computed as if alone."""
    shared = SHARED if window is None else max(1, min(SHARED, window // 2))
    lengths = _lengths(None if window is None else window - shared)
    trunk = _text(vocabulary, shared, 0).ids
    texts = [_branch(trunk, _text(vocabulary, length, seed)) for seed, length in enumerate(lengths, start=1)]
    # The second of three stays as it is.
    others = [texts[1] if i == 1 else _branch(trunk, _text(vocabulary, n, 9)) for i, n in enumerate(lengths)]
    laid_out, other = (states(collate_branches([some], ["text"] * len(some))) for some in (texts, others))
    start = len(texts[0].ids)
    own = slice(start, start + len(texts[1].ids))
    return _holds([_worst(laid_out[own], other[own])], _worst(laid_out, _alone(states, texts)), rounded)


def _alone(states: States, texts: Sequence[Encoded]) -> Tensor:
    return torch.cat([states(collate([text], "text")) for text in texts])


def same(one: Tensor, other: Tensor, *, rounded: bool) -> bool:
    """Whether vectors are the same but for how kernels round on other shapes. Shapes: both [tokens, width]."""
    return _worst(one, other) <= (ROUNDED_APART if rounded else APART)


def made_up(vocabulary: int, length: int, seed: int) -> tuple[int, ...]:
    """Tokens from all over the vocabulary: its first rows are often special, or never trained."""
    return tuple(torch.randint(vocabulary, (length,), generator=torch.Generator().manual_seed(seed)).tolist())


def _lengths(window: int | None) -> list[int]:
    """Texts beyond a sliding window are not laid out beside others; one token alone has nothing to go on from."""
    return [length if window is None else max(2, min(length, window)) for length in LENGTHS]


def _holds(leaks: Sequence[float], distance: float, rounded: bool) -> bool:
    """Whether all are within what rounding explains; what is not a number is not."""
    leak, apart = (ROUNDED_LEAK, ROUNDED_APART) if rounded else (LEAK, APART)
    return all(one <= leak for one in leaks) and distance <= apart


def _worst(one: Tensor, other: Tensor) -> float:
    """Relative distance, of the token that is most apart. Shapes: [tokens, width]."""
    one, other = one.float(), other.float()
    return float(((one - other).norm(dim=-1) / other.norm(dim=-1)).max())


def _text(vocabulary: int, length: int, seed: int) -> Encoded:
    return _encoded(made_up(vocabulary, length, seed))


def _branch(trunk: tuple[int, ...], own: Encoded) -> Encoded:
    return _encoded(trunk + own.ids)


def _encoded(ids: tuple[int, ...]) -> Encoded:
    return Encoded("", ids, tuple((i, i + 1) for i in range(len(ids))), (True,) * len(ids))
