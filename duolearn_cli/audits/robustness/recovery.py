"""How much an attack got back: shares of what was forgotten, and gains beside those of a model that never knew."""

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

# Right or wrong under the attack, before it and by the target: what one fact can add to A - B and to T - B.
OUTCOMES = tuple((a - b, t - b) for a, b, t in product((0.0, 1.0), repeat=3))

# By item id: its fact, and the share of its askings that were answered correctly.
Sheet = dict[str, tuple[str, float]]


def sheet(rows: Iterable[Mapping[str, Any]], model: str, side: str) -> Sheet:
    """Answers of one model to the items of one side; an item that was asked several times has their mean."""
    askings: dict[str, list[float]] = defaultdict(list)
    facts: dict[str, str] = {}
    for row in rows:
        if row["model"] == model and row["side"] == side:
            askings[row["id"]].append(row["correct"])
            facts[row["id"]] = row["fact"]
    return {name: (facts[name], fmean(found)) for name, found in askings.items()}


def accuracy(answers: Sheet) -> Estimate:
    """Share of right answers with an interval over facts, which too few facts do not get."""
    return _claimed(proportion([hit for _, hit in answers.values()], [fact for fact, _ in answers.values()]))


def recovered(after: Sheet, before: Sheet, target: Sheet) -> Estimate | None:
    """(A - B) / (T - B): accuracy under attack A, before it B, and of the target T; None where T <= B.

    Fieller's interval over facts, with all their answers in A, B and T together; unbounded where T may be B. A share
    below 0 or above 1 is what was measured.

    Raises ValueError where the three are not about the same facts.
    """
    if not after or not before or not target:
        return None
    facts, (a, b, t) = _parts(after, before, target)
    if t.sum() <= b.sum():
        return None
    found = ratio_of_sums((a - b).tolist(), (t - b).tolist(), facts, OUTCOMES, higher_is_better=None)
    return _claimed(replace(found, n=len(after)))


def above_gold(after: Sheet, before: Sheet, gold_after: Sheet, gold_before: Sheet) -> Estimate | None:
    """(A - B) - (A_gold - B_gold): what the attack gains beyond what it gains on gold. An accuracy; None without items.

    Gold never knew: what it gains, the attack has told it. The interval is over facts, with all four together.
    Raises ValueError where the four are not about the same facts.
    """
    if not after or not gold_after:
        return None
    facts, (a, b, c, d) = _parts(after, before, gold_after, gold_before)
    gains = (a - b) - (c - d)
    low, high = paired_difference(gains, np.ones(len(facts)), most=2.0) if len(facts) > 1 else (None, None)
    return _claimed(Estimate(float(gains.mean()), low, high, len(after), facts=len(facts)))


def _parts(*sheets: Sheet) -> tuple[list[str], list[np.ndarray]]:
    """The facts in sorted order, and what each adds to each sheet's accuracy, which is the mean over facts.

    A fact with more items than others counts for more: ``A + (hits - A * items) / mean items``, linear in what a fact
    has. Where all have as many items this is the fact's own accuracy. Shape of each: [facts].
    """
    parts = []
    columns = _columns(*sheets)
    for hits, items in zip(columns[::2], columns[1::2], strict=True):
        own = float(hits.sum() / items.sum())
        parts.append(own + (hits - own * items) / items.mean())
    return sorted({fact for fact, _ in sheets[0].values()}), parts


def _columns(*sheets: Sheet) -> list[np.ndarray]:
    """Of each sheet the sums of hits and of items by fact, facts in sorted order. Shape of each: [facts]."""
    if len({frozenset(fact for fact, _ in answers.values()) for answers in sheets}) != 1:
        raise ValueError("answers about different facts cannot be paired")
    found: list[np.ndarray] = []
    for answers in sheets:
        facts = [fact for fact, _ in answers.values()]
        found += [by_cluster([hit for _, hit in answers.values()], facts), by_cluster([1.0] * len(facts), facts)]
    return found


def _claimed(found: Estimate) -> Estimate:
    """The estimate, without its interval where there are too few facts for a claim."""
    is_enough = found.facts is not None and found.facts >= FEW_FACTS
    return found if is_enough else replace(found, low=None, high=None, unbounded=False)
