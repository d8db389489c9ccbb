"""Faults for experiments: missing and wrong subjects, wrong answers, imbalance. Pure and seeded."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from duolearn_cli.data.items import Item


def without_subjects(items: Sequence[Item], share: float, seed: int) -> list[Item]:
    """Take subject and topic from `share` of the facts: another phrasing must not tell what is missing."""
    chosen = _chosen([item.fact_id for item in items], share, f"{seed}:missing_subjects")
    return [replace(item, subject=None, topic=None) if item.fact_id in chosen else item for item in items]


def with_wrong_subjects(items: Sequence[Item], share: float, seed: int) -> list[Item]:
    """Give `share` of the facts another subject of the data, with the topic of a random item of that subject.

    Where the data has one subject only, its topics take the subjects' place.
    """
    chosen = _chosen([item.fact_id for item in items], share, f"{seed}:wrong_subjects")
    draw = random.Random(f"{seed}:other_subjects")
    labels = [(item.subject, item.topic) for item in items]
    part = 0 if len({subject for subject, _ in labels}) > 1 else 1
    given: dict[str, tuple[str | None, str | None]] = {}
    for item, label in zip(items, labels, strict=True):
        if item.fact_id in chosen and item.fact_id not in given:
            others = [other for other in labels if other[part] != label[part]]
            given[item.fact_id] = draw.choice(others) if others else label
    return [
        replace(item, subject=given[item.fact_id][0], topic=given[item.fact_id][1]) if item.fact_id in given else item
        for item in items
    ]


def with_wrong_answers(items: Sequence[Item], share: float, seed: int) -> list[Item]:
    """Mark a random wrong option as right in `share` of the items."""
    chosen = _chosen([item.id for item in items], share, f"{seed}:wrong_answers")
    draw = random.Random(f"{seed}:other_answers")
    found = []
    for item in items:
        others = [option for option in range(len(item.options)) if option != item.answer]
        found.append(replace(item, answer=draw.choice(others)) if item.id in chosen else item)
    return found


def imbalanced(items: Sequence[Item], ratio: float, seed: int) -> list[Item]:
    """Thin the subjects out: of n subjects in a random order, the k-th keeps ``ratio ** (-k / (n - 1))`` of its items.

    The first subject keeps all, the last 1 / ratio, at least one item each. The order of items stays.
    """
    by_subject: dict[str, list[int]] = defaultdict(list)
    for i, item in enumerate(items):
        by_subject[item.subject or ""].append(i)
    draw = random.Random(f"{seed}:imbalance")
    subjects = draw.sample(sorted(by_subject), len(by_subject))
    kept: set[int] = set()
    for k, subject in enumerate(subjects):
        members = by_subject[subject]
        share = ratio ** (-k / max(1, len(subjects) - 1))
        kept |= set(draw.sample(members, max(1, round(share * len(members)))))
    return [item for i, item in enumerate(items) if i in kept]


def _chosen(names: Sequence[str], share: float, seed: str) -> set[str]:
    """Exactly round(share * n) of the n distinct names. A larger share holds all that a smaller one does."""
    distinct = sorted(set(names))
    order = random.Random(seed).sample(distinct, len(distinct))
    return set(order[: round(share * len(distinct))])
