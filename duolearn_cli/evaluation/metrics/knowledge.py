"""Ratios of the answers before and after, and the most common answer (docs/metrics.md; our definitions).

`evaluation.measures` says which ratios there are. Marks of items are 1 (right) or 0 (wrong), or between them if options
tie. `facts` gives the fact of each item, in the same order: intervals are over facts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from itertools import product
from statistics import fmean

from scipy import stats

from duolearn_cli.evaluation.metrics.chance import common_unit
from duolearn_cli.evaluation.metrics.closed_forms import CONFIDENCE
from duolearn_cli.evaluation.metrics.intervals import Estimate, proportion, ratio_of_sums

# All outcomes of one question: right or wrong, before and after.
BEFORE_AFTER = tuple(product((0.0, 1.0), repeat=2))


def ratio(
    parts: Callable[[float, float, float], tuple[float, float]],
    before: Sequence[float],
    after: Sequence[float],
    facts: Sequence[str],
    floor: Sequence[float] = (),
    *,
    is_answered: bool = False,
    least: float = -math.inf,
) -> Estimate:
    """A ratio of sums over items, with Fieller's interval over facts.

    Args:
        parts: (before, after, floor) of an item -> what it adds to the numerator and the denominator.
        before: the target's marks.
        after: the model's marks.
        facts: the fact of each item.
        floor: the mark of each item that needs no knowledge: 1 / number of options, or the mark of a model that never
            learned it. Empty if `parts` does not use it.
        is_answered: `floor` holds marks of a model, even if some are not 0 or 1.
        least: the lowest possible value.

    Returns:
        NaN if the denominator is 0; unbounded if it may be.
    """
    # In whole numbers: a denominator of 0 must not become 1e-16.
    unit = 1 if is_answered else common_unit(floor)
    floors = list(floor) if is_answered else [round(unit * one) for one in floor]
    marks = list(zip(before, after, floors or [0.0] * len(before), strict=True))
    above = [unit * parts(b, a, f)[0] for b, a, f in marks]
    below = [parts(unit * b, unit * a, f)[1] for b, a, f in marks]
    outcomes = [
        (unit * numerator, unit * denominator)
        for b, a in BEFORE_AFTER
        for level in ((0.0, 1.0) if is_answered else levels(floor))
        for numerator, denominator in [parts(b, a, level)]
    ]
    return ratio_of_sums(above, below, facts, outcomes, higher_is_better=None, least=least)


def levels(floor: Sequence[float]) -> tuple[float, ...]:
    """The values of a floor that an interval allows for; 0 without a floor.

    Chances of 1 / number of options enter with their mean, a model's answers as both 0 and 1.
    """
    if not len(floor):
        return (0.0,)
    return (0.0, 1.0) if set(floor) <= {0.0, 1.0} else (fmean(floor),)


def forgetting_outcomes(chance: Sequence[float], unit: int = 1) -> list[tuple[float, float]]:
    """All pairs (before - after, before - chance) that one question can have, times `unit`; see `fieller`."""
    return [(unit * (b - a), unit * (b - level)) for b, a in BEFORE_AFTER for level in levels(chance)]


def commonest(answers: Sequence[Hashable], facts: Sequence[str], chance: float) -> tuple[Hashable, Estimate, bool]:
    """The most common right answer, its share, and whether the share is significantly above `chance`.

    It is significant if the lower end of Wilson's interval over facts, widened for the choice among ``1 / chance``
    answers, is above chance.

    Args:
        answers: the right answers, at least one. The first of several equally common answers wins.
        facts: the fact of each answer.
        chance: 1 / number of options.
    """
    answer, _ = Counter(answers).most_common(1)[0]
    share = proportion([float(one == answer) for one in answers], facts)
    num_facts = len(set(facts))
    # Bonferroni: the most common of 1 / chance answers was picked after looking.
    confidence = 1 - (1 - CONFIDENCE) * chance
    low = stats.binomtest(round(share.value * num_facts), num_facts).proportion_ci(confidence, method="wilson").low
    return answer, share, bool(low > chance)
