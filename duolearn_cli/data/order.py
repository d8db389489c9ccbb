"""The order in which items are used: seeded, a function of the step alone, so that a resumed run finds its place."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def epochs(size: int, batch_size: int, num_epochs: int, seed: int) -> Iterator[list[int]]:
    """Yield index batches: every epoch a new seeded order, the last batch of an epoch possibly smaller."""
    order = random.Random(f"{seed}:order")
    indices = list(range(size))
    for _ in range(num_epochs):
        order.shuffle(indices)
        for start in range(0, size, batch_size):
            yield indices[start : start + batch_size]


def num_steps(size: int, batch_size: int, num_epochs: int) -> int:
    """How many batches `epochs` yields."""
    return num_epochs * -(-size // batch_size)


def pairs(
    num_forget: int, num_retain: int, batch_size: int, num_epochs: int, seed: int
) -> Iterator[tuple[list[int], list[int]]]:
    """Yield forget and retain indices of each step: the forget set `num_epochs` times, retain cycled beside it."""
    forgets = list(epochs(num_forget, batch_size, num_epochs, seed))
    yield from zip(forgets, cycled(num_retain, map(len, forgets), seed), strict=True)


def cycled(size: int, batch_sizes: Iterable[int], seed: int) -> Iterator[list[int]]:
    """Yield index batches of these sizes: all indices in a seeded order, again and again, each time another."""
    order = random.Random(f"{seed}:retain")
    waiting: list[int] = []
    for count in batch_sizes:
        while len(waiting) < count:
            fresh = list(range(size))
            order.shuffle(fresh)
            waiting += fresh
        yield waiting[:count]
        del waiting[:count]


def sample(items: Sequence[T], count: int | None, seed: int) -> tuple[T, ...]:
    """Draw `count` of `items`, all if there are fewer, in their order: the first ones of a file are rarely typical."""
    if count is None or count >= len(items):
        return tuple(items)
    chosen = random.Random(f"{seed}:sample").sample(range(len(items)), count)
    return tuple(items[index] for index in sorted(chosen))
