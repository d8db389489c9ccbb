"""What a forget target covers and which concepts lie on its boundary. A run reports both before it trains anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from duolearn_cli.concepts.concept import LEVELS
from duolearn_cli.concepts.hierarchy import Hierarchy, Target


@dataclass(frozen=True, slots=True)
class Shared:
    """A boundary concept. It is preserved because it also lies below the concepts named in `also_under`.

    `forget_items` and `retain_items` are the numbers of items whose text mentions it.
    """

    id: str
    name: str
    level: int
    also_under: tuple[str, ...]
    forget_items: int
    retain_items: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a forget target covers.

    `concepts` maps each level to the numbers of concepts that are "forget", "boundary" and "kept". `items` has the
    sides "forget" and "retain", each with the number of items that mention a target concept, a boundary concept,
    another concept, or none. An item can count in several of these.
    """

    name: str
    labels: tuple[str, ...]
    concepts: dict[int, dict[str, int]]
    boundary: tuple[Shared, ...]
    items: dict[str, dict[str, int]]

    def as_dict(self) -> dict[str, Any]:
        """Return the content of target.json."""
        return {"schema": 1} | asdict(self)

    def sentence(self) -> str:
        """Return one line for the log: how many concepts are forgotten, and how many are preserved and why."""
        sizes = {kind: sum(row[kind] for row in self.concepts.values()) for kind in ("forget", "boundary", "kept")}
        names = [shared.name for shared in self.boundary[:3]] + ["..."] * (len(self.boundary) > 3)
        examples = f" ({', '.join(names)})" if names else ""
        return (
            f"{self.name}: {sizes['forget']} concepts to forget; {sizes['boundary']} on the boundary{examples} "
            f"and {sizes['kept']} exceptions are preserved"
        )


def coverage(
    target: Target, hierarchy: Hierarchy, forget: Sequence[Sequence[str]], retain: Sequence[Sequence[str]]
) -> Coverage:
    """Describe `target`.

    `forget` and `retain` hold, for each item of the side, the ids of the concepts that its text mentions. Boundary
    concepts that many forget items mention come first, because there preserving and forgetting conflict most.
    """
    kinds = {"forget": target.forget, "boundary": target.boundary, "kept": target.kept}
    by_level = {
        level: {kind: sum(hierarchy[c].level == level for c in members) for kind, members in kinds.items()}
        for level in LEVELS
    }
    counts = [Counter(concept for mentioned in side for concept in set(mentioned)) for side in (forget, retain)]
    shared = [
        Shared(c, hierarchy[c].name, hierarchy[c].level, _also_under(c, target, hierarchy), *(n[c] for n in counts))
        for c in target.boundary
    ]
    return Coverage(
        target.name,
        tuple(sorted(target.labels)),
        by_level,
        tuple(sorted(shared, key=lambda b: (-b.forget_items, -b.retain_items, b.id))),
        {"forget": _items(forget, target), "retain": _items(retain, target)},
    )


def _also_under(concept: str, target: Target, hierarchy: Hierarchy) -> tuple[str, ...]:
    """Return the names of the nearest concepts above `concept` that are outside the target."""
    inside = target.forget | target.boundary | target.kept
    # The target's ancestors contain the target itself, so they say nothing about where else the concept belongs.
    above = hierarchy.ancestors(target.roots)
    names: dict[str, None] = {}  # a dict serves as an ordered set
    level, seen = {concept}, set()
    while level:
        seen |= level
        parents = {parent for c in level for parent in hierarchy[c].parents}
        names |= {hierarchy[parent].name: None for parent in sorted(parents - inside - above)}
        level = (parents & inside) - set(target.roots) - seen
    return tuple(names)


def _items(texts: Sequence[Sequence[str]], target: Target) -> dict[str, int]:
    counts = {"target": 0, "boundary": 0, "other": 0, "none": 0}
    for mentioned in map(set, texts):
        counts["target"] += not target.forget.isdisjoint(mentioned)
        counts["boundary"] += not target.boundary.isdisjoint(mentioned)
        counts["other"] += bool(mentioned - target.forget - target.boundary)
        counts["none"] += not mentioned
    return counts
