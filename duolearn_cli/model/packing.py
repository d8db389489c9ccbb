"""Decide by length which texts go through the model together: packed into rows, or padded in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def pack(lengths: Sequence[int], width: int) -> list[tuple[int, int]]:
    """Return (row, start) of each sequence, by first-fit decreasing. One longer than `width` gets its own row."""
    used: list[int] = []
    starts = [(0, 0)] * len(lengths)
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        row = next((row for row, taken in enumerate(used) if taken + lengths[index] <= width), len(used))
        if row == len(used):
            used.append(0)
        starts[index] = (row, used[row])
        used[row] += lengths[index]
    return starts


def batches_by_length(lengths: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """Yield groups of indices, longest first, so that a padded batch has at most `max_tokens` (or one sequence)."""
    group: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if group and (len(group) + 1) * lengths[group[0]] > max_tokens:
            yield group
            group = []
        group.append(index)
    if group:
        yield group
