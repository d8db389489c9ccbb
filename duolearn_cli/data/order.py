"""The order in which items are used. It depends on the seed and the step alone, so a resumed run can continue it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def epochs(size: int, batch_size: int, num_epochs: int, seed: int) -> Iterator[list[int]]:
    """Yield batches of indices below `size`. Every epoch has a new seeded order; its last batch may be smaller."""
    # The names "order", "retain" and "sample" separate the streams of random numbers. Changing one changes every run.
    order = random.Random(f"{seed}:order")
    indices = list(range(size))
    for _ in range(num_epochs):
        order.shuffle(indices)
        for start in range(0, size, batch_size):
            yield indices[start : start + batch_size]


def num_steps(size: int, batch_size: int, num_epochs: int) -> int:
    """Return the number of batches that `epochs` yields."""
    return num_epochs * -(-size // batch_size)


def passes(size: int, batch_size: int, num_epochs: int, min_steps: int | None) -> int:
    """Return `num_epochs`, or as many more as it takes for `min_steps` batches."""
    a_pass = num_steps(size, batch_size, 1)
    return max(num_epochs, -(-(min_steps or 0) // a_pass)) if a_pass else num_epochs


def pairs(
    num_forget: int, num_retain: int, batch_size: int, num_epochs: int, seed: int, retain_size: int | None = None
) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the forget and the retain indices of each step.

    The forget set is used `num_epochs` times. The retain set is cycled, in batches of `retain_size`; None: as large as
    the forget batches.
    """
    forgets = list(epochs(num_forget, batch_size, num_epochs, seed))
    sizes = [retain_size or len(own) for own in forgets]
    yield from zip(forgets, cycled(num_retain, sizes, seed), strict=True)


def cycled(size: int, batch_sizes: Iterable[int], seed: int, stream: str = "retain") -> Iterator[list[int]]:
    """Yield batches of these sizes from an endless sequence: all indices below `size` in a seeded order, then all again
    in another order, and so on. `stream` names the random numbers."""
    # Batches may span two passes, so that every batch has exactly the requested size.
    order = random.Random(f"{seed}:{stream}")
    waiting: list[int] = []
    for count in batch_sizes:
        if count and not size:
            raise ValueError("an endless sequence needs something to repeat; there are no items")
        while len(waiting) < count:
            fresh = list(range(size))
            order.shuffle(fresh)
            waiting += fresh
        yield waiting[:count]
        del waiting[:count]


def sample(items: Sequence[T], count: int | None, seed: int) -> tuple[T, ...]:
    """Return `count` of the `items`, drawn at random and in their order; all items if there are fewer.

    They are drawn because the first items of a file are rarely typical.
    """
    if count is None or count >= len(items):
        return tuple(items)
    chosen = random.Random(f"{seed}:sample").sample(range(len(items)), count)
    return tuple(items[index] for index in sorted(chosen))
