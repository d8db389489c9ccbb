"""The items that attacks ask and teach. Whole facts are drawn, by seeded generators that are named after their use."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from duolearn_cli.data.items import Item
from duolearn_cli.data.splits import Splits

SIDES = ("forget", "retain")


@dataclass(frozen=True, slots=True)
class Material:
    """The items that attacks ask: all about trained facts. On each side trained phrasings come before held-out ones."""

    forget: tuple[Item, ...]
    retain: tuple[Item, ...]

    @classmethod
    def of(cls, splits: Splits, max_items: int | None, seed: int) -> Material:
        """The items of both sides about trained facts: all, or of each side at most `max_items`, in whole facts."""
        return cls(
            whole_facts((*splits.forget_train, *splits.forget_heldout), max_items, f"{seed}:robustness-forget"),
            whole_facts((*splits.retain_train, *splits.retain_heldout), max_items, f"{seed}:robustness-retain"),
        )

    def side(self, name: str, phrasings: str = "all") -> tuple[Item, ...]:
        """The items of one side (``forget``, ``retain``) in ``all``, ``trained`` or ``heldout`` phrasings."""
        items: tuple[Item, ...] = getattr(self, name)
        return (
            items if phrasings == "all" else tuple(item for item in items if item.heldout == (phrasings == "heldout"))
        )


def facts_of(items: Iterable[Item]) -> list[str]:
    """The distinct facts, sorted: a seeded draw from them then does not depend on the order of a data file."""
    return sorted({item.fact_id for item in items})


def whole_facts(items: Sequence[Item], max_items: int | None, seed: str) -> tuple[Item, ...]:
    """Draw whole facts in a seeded order until the next one does not fit into `max_items` items.

    Returns:
        The items of the drawn facts, in their given order. All items if `max_items` is None; those of at least one fact
        otherwise, even if it has more items than allowed.
    """
    if max_items is None or len(items) <= max_items:
        return tuple(items)
    order = facts_of(items)
    random.Random(seed).shuffle(order)
    sizes = dict.fromkeys(order, 0)
    for item in items:
        sizes[item.fact_id] += 1
    chosen: set[str] = set()
    remaining = max_items
    for fact in order:
        if sizes[fact] > remaining:
            break
        chosen.add(fact)
        remaining -= sizes[fact]
    return tuple(item for item in items if item.fact_id in (chosen or {order[0]}))


@dataclass(frozen=True, slots=True)
class Lesson:
    """Items to teach.

    Attributes:
        material: ``forget``, or ``retain`` for a control.
        share: the share of the forget facts that this lesson, or the one it is the control of, teaches.
        items: the items to fine-tune on.
        facts: facts that no relearning attack scores, since what a model was just taught shows nothing about what it
            had kept. They are the same for all lessons of an audit.
    """

    material: str
    share: float
    items: tuple[Item, ...]
    facts: frozenset[str]


def lessons(splits: Splits, shares: Collection[float], seed: int) -> list[Lesson]:
    """One lesson for each share of the forget facts, each followed by its control: as many texts about retain facts.

    A larger share teaches the facts of the smaller one and more. A share that rounds to the same number of facts as a
    smaller one is left out. Every lesson's `facts` are those taught in any lesson, so that all points of all curves are
    scored on the same items. At least one forget fact is left to score.
    """
    forget, retain = facts_of(splits.forget_train), facts_of(splits.retain_train)
    random.Random(f"{seed}:relearn").shuffle(forget)
    random.Random(f"{seed}:relearn-control").shuffle(retain)
    counts: dict[int, float] = {}
    # At least one fact is taught, and at least one is left to score.
    for share in sorted(shares):
        counts.setdefault(min(max(1, round(share * len(forget))), len(forget) - 1), share)
    drawn: list[Lesson] = []
    for count, share in counts.items():
        if count < 1:
            continue
        taught = _about(splits.forget_train, forget[:count])
        # Facts have several phrasings. The control has as many texts as the lesson, not as many facts, so that both
        # take as many steps. One retain fact is left to score.
        control = _about(splits.retain_train, retain[: len(retain) - 1])[: len(taught)]
        drawn += [Lesson("forget", share, taught, frozenset()), Lesson("retain", share, control, frozenset())]
    used = {
        material: frozenset(item.fact_id for lesson in drawn if lesson.material == material for item in lesson.items)
        for material in SIDES
    }
    return [Lesson(one.material, one.share, one.items, used["forget"] | used["retain"]) for one in drawn]


def _about(items: Sequence[Item], facts: Sequence[str]) -> tuple[Item, ...]:
    """The items about `facts`, in the order of the facts."""
    by_fact: dict[str, list[Item]] = {fact: [] for fact in facts}
    for item in items:
        if item.fact_id in by_fact:
            by_fact[item.fact_id].append(item)
    return tuple(item for fact in facts for item in by_fact[fact])
