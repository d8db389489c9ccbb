"""Divide every split into a validation part, to choose settings on, and a test part, to report."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import fields
from hashlib import blake2b

from duolearn_cli.data.items import Item
from duolearn_cli.data.splits import Splits

# Splits that share facts are divided together: a fact that a choice was made on must not be in the test part.
TOGETHER = (
    ("forget_train", "forget_heldout"),
    ("retain_train", "retain_heldout"),
    ("forget_unseen",),
    ("retain_unseen",),
)


def part_of(splits: Splits, part: str, fraction: float, seed: int) -> Splits:
    """Return the items of one part: ``all``, ``validation`` or ``test``. Validation and test share no fact.

    The facts of trained forget, trained retain, unseen forget and unseen retain items are divided separately. Of n
    facts, the first ceil(n * `fraction`) in the order of a hash of `seed` and fact are for validation, but at least one
    is left for the test. All phrasings of a fact are in the same part.
    """
    if part == "all":
        return splits
    chosen_items: dict[str, tuple[Item, ...]] = {}
    for names in TOGETHER:
        groups = {name: getattr(splits, name) for name in names}
        chosen = _validation({item.fact_id for items in groups.values() for item in items}, fraction, seed)
        for name, items in groups.items():
            chosen_items[name] = tuple(item for item in items if (item.fact_id in chosen) == (part == "validation"))
    return Splits(**{field.name: chosen_items[field.name] for field in fields(Splits)})


def _validation(facts: Collection[str], fraction: float, seed: int) -> set[str]:
    # By a hash, as in splits.py, so that few facts change their part when the data set grows.
    order: Sequence[str] = sorted(facts, key=lambda fact: (blake2b(f"{seed}:part:{fact}".encode()).digest(), fact))
    # The margin is for floating point: 0.07 * 100 is a little more than 7.
    return set(order[: min(math.ceil(len(order) * fraction - 1e-9), max(len(order) - 1, 0))])
