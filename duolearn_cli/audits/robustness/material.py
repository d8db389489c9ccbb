"""Which items the attacks ask, and which they teach: facts, drawn by named seeded generators."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from duolearn_cli.data.items import Item
from duolearn_cli.data.splits import Splits

SIDES = ("forget", "retain")


@dataclass(frozen=True, slots=True)
class Material:
    """Items about trained facts that the attacks ask, by side; trained phrasings come before held-out ones."""

    forget: tuple[Item, ...]
    retain: tuple[Item, ...]

    @classmethod
    def of(cls, splits: Splits, max_items: int | None, seed: int) -> Material:
        """All items about trained facts, or of each side a sample of whole facts with at most `max_items` items."""
        return cls(
            whole_facts((*splits.forget_train, *splits.forget_heldout), max_items, f"{seed}:robustness-forget"),
            whole_facts((*splits.retain_train, *splits.retain_heldout), max_items, f"{seed}:robustness-retain"),
        )

    def side(self, name: str, phrasings: str = "all") -> tuple[Item, ...]:
        """Items of one side: all, those in ``trained`` or those in ``heldout`` phrasings."""
        items: tuple[Item, ...] = getattr(self, name)
        return (
            items if phrasings == "all" else tuple(item for item in items if item.heldout == (phrasings == "heldout"))
        )


def facts_of(items: Iterable[Item]) -> list[str]:
    """The distinct facts, sorted, so that a draw depends on them and not on the order of a file."""
    return sorted({item.fact_id for item in items})


def whole_facts(items: Sequence[Item], max_items: int | None, seed: str) -> tuple[Item, ...]:
    """Items of facts taken in a seeded order for as long as all phrasings fit; all items where `max_items` is None."""
    if max_items is None or len(items) <= max_items:
        return tuple(items)
    order = facts_of(items)
    random.Random(seed).shuffle(order)
    sizes = dict.fromkeys(order, 0)
    for item in items:
        sizes[item.fact_id] += 1
    chosen: set[str] = set()
    left = max_items
    for fact in order:
        if sizes[fact] > left:
            break
        chosen.add(fact)
        left -= sizes[fact]
    # One fact at least, however many phrasings it has.
    return tuple(item for item in items if item.fact_id in (chosen or {order[0]}))


@dataclass(frozen=True, slots=True)
class Lesson:
    """Items to teach. `facts` are never scored: what a model was told is not what it kept."""

    material: str
    share: float
    items: tuple[Item, ...]
    facts: frozenset[str]


def lessons(splits: Splits, shares: Collection[float], seed: int) -> list[Lesson]:
    """For each share of the forget facts a lesson, and one with as many texts about retain facts as its control.

    Both grow from small to large shares by adding facts to the smaller lesson. Shares that come to as many facts as a
    smaller one are left out. `facts` are those of all lessons, so that all points of all curves are scored on the same
    items; at least one forget fact stays to be scored.
    """
    forget, retain = facts_of(splits.forget_train), facts_of(splits.retain_train)
    random.Random(f"{seed}:relearn").shuffle(forget)
    random.Random(f"{seed}:relearn-control").shuffle(retain)
    counts: dict[int, float] = {}
    for share in sorted(shares):
        counts.setdefault(min(max(1, round(share * len(forget))), len(forget) - 1), share)
    found: list[Lesson] = []
    for count, share in counts.items():
        if count < 1:
            continue
        taught = _about(splits.forget_train, forget[:count])
        # Facts have several phrasings: the control is cut to as many texts, not facts. One fact stays to be scored.
        control = _about(splits.retain_train, retain[: len(retain) - 1])[: len(taught)]
        found += [Lesson("forget", share, taught, frozenset()), Lesson("retain", share, control, frozenset())]
    used = {
        material: frozenset(item.fact_id for lesson in found if lesson.material == material for item in lesson.items)
        for material in SIDES
    }
    return [Lesson(one.material, one.share, one.items, used["forget"] | used["retain"]) for one in found]


def _about(items: Sequence[Item], facts: Sequence[str]) -> tuple[Item, ...]:
    """The items about `facts`, in the order of the facts."""
    by_fact: dict[str, list[Item]] = {fact: [] for fact in facts}
    for item in items:
        if item.fact_id in by_fact:
            by_fact[item.fact_id].append(item)
    return tuple(item for fact in facts for item in by_fact[fact])
