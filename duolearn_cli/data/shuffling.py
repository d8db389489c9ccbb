"""Copies of items with their options in another order. They serve as held-out phrasings of facts that have none."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace

from duolearn_cli.data.items import Item
from duolearn_cli.data.option_references import movable

# The end of a shuffled copy's id. No other held-out item has it.
_SUFFIX = "~shuffled"


def with_shuffled_copies(items: Iterable[Item], seed: int) -> Iterator[Item]:
    """Yield every item and, for each fact without a held-out phrasing, held-out copies of its items.

    In a copy the right option is always in another position, so a model that learned letters instead of answers fails
    on it (docs/history/lab-notes.md, "Letters or answers"). Items whose options cannot move (see `movable`) get no
    copy.
    """
    originals = list(items)
    with_heldout = {item.fact_id for item in originals if item.heldout}
    for item in originals:
        yield item
        if item.fact_id not in with_heldout:
            copy = reordered(item, random.Random(f"{seed}:shuffle:{item.id}"))
            if copy is not None:
                yield replace(copy, id=f"{item.id}{_SUFFIX}", fact=item.fact_id, heldout=True)


def reordered(item: Item, generator: random.Random) -> Item | None:
    """Return the item with its options in another order and the right one in another position, or None if its options
    cannot move. Options that refer to the others ("none of the above") stay at the end."""
    free = movable(item)
    if free is None:
        return None
    # All positions are shuffled until the right option has moved. A cheaper way would change the copies of earlier
    # runs.
    places = list(free)
    while places[item.answer] == item.answer:
        generator.shuffle(places)
    places += range(len(free), len(item.options))
    return replace(item, options=tuple(item.options[place] for place in places), answer=places.index(item.answer))


def is_shuffled(item: Item) -> bool:
    """Return whether an item is a shuffled copy, not another wording."""
    return item.id.endswith(_SUFFIX)


def kind_of_heldout(items: Iterable[Item]) -> str | None:
    """Return what the held-out items are: ``phrasings``, ``orders`` of options or ``both``; None if there are none."""
    kinds = {"orders" if is_shuffled(item) else "phrasings" for item in items}
    return "both" if len(kinds) > 1 else next(iter(kinds), None)
