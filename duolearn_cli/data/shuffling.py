"""A second phrasing for items that have only one: the same question with its options in another order."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace

from duolearn_cli.data.items import Item

# What the ids of shuffled copies end with: no other held-out item's does.
SUFFIX = "~shuffled"


def with_shuffled_copies(items: Iterable[Item], seed: int) -> Iterator[Item]:
    """Yield every item and, for each fact without a held-out phrasing, a held-out copy of its items.

    The right option never keeps its place, so a model that learned letters rather than answers fails on the copy.
    """
    kept = list(items)
    asked_otherwise = {item.fact_id for item in kept if item.heldout}
    for item in kept:
        yield item
        if item.fact_id not in asked_otherwise:
            yield _shuffled(item, random.Random(f"{seed}:shuffle:{item.id}"))


def _shuffled(item: Item, generator: random.Random) -> Item:
    places = list(range(len(item.options)))
    while places[item.answer] == item.answer:
        generator.shuffle(places)
    return replace(
        item,
        id=f"{item.id}{SUFFIX}",
        fact=item.fact_id,
        heldout=True,
        options=tuple(item.options[place] for place in places),
        answer=places.index(item.answer),
    )
