"""Facts to make choices on and facts to report on: a validation and a test part of every split."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import fields
from hashlib import blake2b

from duolearn_cli.data.items import Item
from duolearn_cli.data.splits import Splits

# Splits of the same facts: what is chosen by one of a pair must not be tested by the other.
TOGETHER = (
    ("forget_train", "forget_heldout"),
    ("retain_train", "retain_heldout"),
    ("forget_unseen",),
    ("retain_unseen",),
)


def part_of(splits: Splits, part: str, fraction: float, seed: int) -> Splits:
    """The items of `part`: ``all``, ``validation`` or ``test``, which have no fact in common.

    Of the n facts of trained forget, trained retain, unseen forget and unseen retain items each, the first
    ceil(n · `fraction`) in the order of a hash of `seed` and fact are for validation, but one at least is left for the
    test where there are two; both parts of a fact's phrasings go together.
    """
    if part == "all":
        return splits
    kept: dict[str, tuple[Item, ...]] = {}
    for names in TOGETHER:
        groups = {name: getattr(splits, name) for name in names}
        chosen = _validation({item.fact_id for items in groups.values() for item in items}, fraction, seed)
        for name, items in groups.items():
            kept[name] = tuple(item for item in items if (item.fact_id in chosen) == (part == "validation"))
    return Splits(**{field.name: kept[field.name] for field in fields(Splits)})


def _validation(facts: Collection[str], fraction: float, seed: int) -> set[str]:
    order: Sequence[str] = sorted(facts, key=lambda fact: (blake2b(f"{seed}:part:{fact}".encode()).digest(), fact))
    # The margin is for products such as 0.07 * 100.
    return set(order[: min(math.ceil(len(order) * fraction - 1e-9), max(len(order) - 1, 0))])
