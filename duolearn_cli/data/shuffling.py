"""The same question with its options in another order: held-out copies of items that are asked in one way only."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace

from duolearn_cli.data.items import Item
from duolearn_cli.data.option_references import movable

# What the ids of shuffled copies end with: no other held-out item's does.
_SUFFIX = "~shuffled"


def with_shuffled_copies(items: Iterable[Item], seed: int) -> Iterator[Item]:
    """Yield every item and, for each fact without a held-out phrasing, a held-out copy of its items.

    The right option never keeps its place, so a model that learned letters rather than answers fails on the copy. Items
    whose options name places (see `movable`) get no copy.
    """
    kept = list(items)
    asked_otherwise = {item.fact_id for item in kept if item.heldout}
    for item in kept:
        yield item
        if item.fact_id not in asked_otherwise:
            copy = reordered(item, random.Random(f"{seed}:shuffle:{item.id}"))
            if copy is not None:
                yield replace(copy, id=f"{item.id}{_SUFFIX}", fact=item.fact_id, heldout=True)


def reordered(item: Item, generator: random.Random) -> Item | None:
    """The item with its options in another order, in which the right one has another place; None where none asks it.

    Options that speak of the others ("none of the above") stay at the end.
    """
    free = movable(item)
    if free is None:
        return None
    places = list(free)
    while places[item.answer] == item.answer:
        generator.shuffle(places)
    places += range(len(free), len(item.options))
    return replace(item, options=tuple(item.options[place] for place in places), answer=places.index(item.answer))


def is_shuffled(item: Item) -> bool:
    """Tell whether an item is a copy in another order: no other wording."""
    return item.id.endswith(_SUFFIX)


def kind_of_heldout(items: Iterable[Item]) -> str | None:
    """What held-out items are: ``phrasings``, ``orders`` of options, ``both``; None where there are none."""
    kinds = {"orders" if is_shuffled(item) else "phrasings" for item in items}
    return "both" if len(kinds) > 1 else next(iter(kinds), None)
