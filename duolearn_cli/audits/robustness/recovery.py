"""How much an attack recovers: the share of what was forgotten, and the gain above that of gold, which never knew."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import product
from statistics import fmean
from typing import Any

import numpy as np

from duolearn_cli.evaluation.metrics.closed_forms import paired_difference
from duolearn_cli.evaluation.metrics.intervals import FEW_FACTS, Estimate, by_cluster, proportion, ratio_of_sums

# Everything that one fact can contribute to (A - B, T - B), if it is right or wrong under the attack (A), before it (B)
# and for the target (T). The interval of the ratio is widened by facts of all these outcomes.
OUTCOMES = tuple((a - b, t - b) for a, b, t in product((0.0, 1.0), repeat=3))

# For each item id: its fact, and the share of its variations that were answered correctly.
Sheet = dict[str, tuple[str, float]]


def sheet(rows: Iterable[Mapping[str, Any]], model: str, side: str) -> Sheet:
    """One model's answers to the items of one side. An item asked in several variations gets their mean."""
    hits: dict[str, list[float]] = defaultdict(list)
    facts: dict[str, str] = {}
    for row in rows:
        if row["model"] == model and row["side"] == side:
            hits[row["id"]].append(row["correct"])
            facts[row["id"]] = row["fact"]
    return {name: (facts[name], fmean(own)) for name, own in hits.items()}


def accuracy(answers: Sheet) -> Estimate:
    """The share of right answers, with an interval over facts if there are enough facts for one."""
    return _without_weak_interval(
        proportion([hit for _, hit in answers.values()], [fact for fact, _ in answers.values()])
    )


def recovered(after: Sheet, before: Sheet, target: Sheet) -> Estimate | None:
    """The share (A - B) / (T - B) of what was forgotten that an attack recovers.

    A is the model's accuracy under the attack, B its accuracy before, T the target's accuracy. Values below 0 and
    above 1 are reported as measured. The interval is Fieller's over facts, with each fact's answers in A, B and T
    taken together; it is unbounded if T may equal B.

    Returns:
        None if there are no answers, or T <= B: nothing was forgotten.

    Raises:
        ValueError: the three are not about the same facts.
    """
    if not after or not before or not target:
        return None
    facts, (a, b, t) = _parts(after, before, target)
    if t.sum() <= b.sum():
        return None
    share = ratio_of_sums((a - b).tolist(), (t - b).tolist(), facts, OUTCOMES, higher_is_better=None)
    return _without_weak_interval(replace(share, n=len(after)))


def above_gold(after: Sheet, before: Sheet, gold_after: Sheet, gold_before: Sheet) -> Estimate | None:
    """The gain (A - B) - (A_gold - B_gold) in accuracy of an attack on the unlearned model above its gain on gold.

    Gold never learned the facts, so whatever it gains comes from the attack itself. The interval is over facts, with
    each fact's four answers taken together.

    Returns:
        None if there are no answers.

    Raises:
        ValueError: the four are not about the same facts.
    """
    if not after or not gold_after:
        return None
    facts, (a, b, c, d) = _parts(after, before, gold_after, gold_before)
    gains = (a - b) - (c - d)
    # `most` is the largest gain of one fact: from 0 to 1 on the unlearned model and from 1 to 0 on gold.
    low, high = paired_difference(gains, np.ones(len(facts)), most=2.0) if len(facts) > 1 else (None, None)
    return _without_weak_interval(Estimate(float(gains.mean()), low, high, len(after), facts=len(facts)))


def _parts(*sheets: Sheet) -> tuple[list[str], list[np.ndarray]]:
    """The facts in sorted order, and for each sheet the facts' contributions to its accuracy, whose mean it is.

    A fact's contribution is ``A + (hits - A * items) / mean(items)`` with A the sheet's accuracy over items: a fact
    with more items counts for more. If all facts have equally many items, it is the fact's own accuracy. Shape:
    [facts].
    """
    parts = []
    columns = _columns(*sheets)
    for hits, items in zip(columns[::2], columns[1::2], strict=True):
        own = float(hits.sum() / items.sum())
        parts.append(own + (hits - own * items) / items.mean())
    return sorted({fact for fact, _ in sheets[0].values()}), parts


def _columns(*sheets: Sheet) -> list[np.ndarray]:
    """For each sheet, the hits and the number of items of each fact, in sorted order. Shape of each: [facts].

    Raises:
        ValueError: the sheets are not about the same facts.
    """
    if len({frozenset(fact for fact, _ in answers.values()) for answers in sheets}) != 1:
        raise ValueError("answers about different facts cannot be paired")
    columns: list[np.ndarray] = []
    for answers in sheets:
        facts = [fact for fact, _ in answers.values()]
        columns += [by_cluster([hit for _, hit in answers.values()], facts), by_cluster([1.0] * len(facts), facts)]
    return columns


def _without_weak_interval(estimate: Estimate) -> Estimate:
    """The estimate, without its interval if there are too few facts for a claim."""
    is_enough = estimate.facts is not None and estimate.facts >= FEW_FACTS
    return estimate if is_enough else replace(estimate, low=None, high=None, unbounded=False)
