"""Inject faults for experiments: missing and wrong subjects, wrong answers, imbalance. Pure and seeded functions."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from duolearn_cli.data.items import Item

# Every fault draws from a generator with a name of its own, so that the share of one fault does not change which items
# get another. The names are part of every seeded result: changing one changes all runs with that fault.


def without_subjects(items: Sequence[Item], share: float, seed: int) -> list[Item]:
    """Remove subject and topic from the share `share` of the facts.

    Whole facts are chosen, because another phrasing with a label would reveal what is missing.
    """
    chosen = _chosen([item.fact_id for item in items], share, f"{seed}:missing_subjects")
    return [replace(item, subject=None, topic=None) if item.fact_id in chosen else item for item in items]


def with_wrong_subjects(items: Sequence[Item], share: float, seed: int) -> list[Item]:
    """Give the share `share` of the facts the subject and topic of a random item with another subject.

    If the data has only one subject, the topics are exchanged instead.
    """
    chosen = _chosen([item.fact_id for item in items], share, f"{seed}:wrong_subjects")
    draw = random.Random(f"{seed}:other_subjects")
    labels = [(item.subject, item.topic) for item in items]
    part = 0 if len({subject for subject, _ in labels}) > 1 else 1
    wrong: dict[str, tuple[str | None, str | None]] = {}  # one label for all phrasings of a fact
    for item, label in zip(items, labels, strict=True):
        if item.fact_id in chosen and item.fact_id not in wrong:
            others = [other for other in labels if other[part] != label[part]]
            wrong[item.fact_id] = draw.choice(others) if others else label
    return [
        replace(item, subject=wrong[item.fact_id][0], topic=wrong[item.fact_id][1]) if item.fact_id in wrong else item
        for item in items
    ]


def with_wrong_answers(items: Sequence[Item], share: float, seed: int) -> list[Item]:
    """Mark a random wrong option as right in the share `share` of the items."""
    chosen = _chosen([item.id for item in items], share, f"{seed}:wrong_answers")
    draw = random.Random(f"{seed}:other_answers")
    noisy = []
    for item in items:
        others = [option for option in range(len(item.options)) if option != item.answer]
        noisy.append(replace(item, answer=draw.choice(others)) if item.id in chosen else item)
    return noisy


def imbalanced(items: Sequence[Item], ratio: float, seed: int) -> list[Item]:
    """Thin out the subjects: of n subjects in a random order, number k keeps ``ratio ** (-k / (n - 1))`` of its items.

    Numbers start at 0: the first subject keeps all items, the last one the share 1 / ratio, and each at least one item.
    The order of items does not change.
    """
    by_subject: dict[str, list[int]] = defaultdict(list)
    for i, item in enumerate(items):
        by_subject[item.subject or ""].append(i)
    draw = random.Random(f"{seed}:imbalance")
    subjects = draw.sample(sorted(by_subject), len(by_subject))
    remaining: set[int] = set()
    for k, subject in enumerate(subjects):
        members = by_subject[subject]
        share = ratio ** (-k / max(1, len(subjects) - 1))
        remaining |= set(draw.sample(members, max(1, round(share * len(members)))))
    return [item for i, item in enumerate(items) if i in remaining]


def _chosen(names: Sequence[str], share: float, seed: str) -> set[str]:
    """Return exactly round(share * n) of the n distinct names. A larger share contains all names of a smaller one."""
    # Sorted first, so that the choice depends on the names and the seed, not on the order of the items. The nesting
    # makes runs with growing shares of faults comparable.
    distinct = sorted(set(names))
    order = random.Random(seed).sample(distinct, len(distinct))
    return set(order[: round(share * len(distinct))])
