"""Forgetting and preservation, computed from the answers to each item (method.md section 8; our definitions).

Answers are 1 (right) or 0 (wrong) for each item. `facts` gives the fact of each item, in the same order: intervals are
over facts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import product
from statistics import fmean

from scipy import stats

from duolearn_cli.evaluation.metrics.chance import above_chance, common_unit
from duolearn_cli.evaluation.metrics.closed_forms import CONFIDENCE
from duolearn_cli.evaluation.metrics.intervals import Estimate, proportion, ratio_of_sums

# All outcomes of one question: right or wrong, before and after.
BEFORE_AFTER = tuple(product((0.0, 1.0), repeat=2))


def forgetting_rate(after: Sequence[float], facts: Sequence[str]) -> Estimate:
    """The forgetting rate FR: 1 - accuracy on forget items after unlearning."""
    return proportion([1.0 - hit for hit in after], facts)


def relative_drop(before: Sequence[float], after: Sequence[float], facts: Sequence[str]) -> Estimate:
    """The relative drop in accuracy: (before - after) / before."""
    drop = [b - a for b, a in zip(before, after, strict=True)]
    return ratio_of_sums(drop, before, facts, [(b - a, b) for b, a in BEFORE_AFTER])


def chance_corrected_forgetting(
    before: Sequence[float], after: Sequence[float], chance: Sequence[float], facts: Sequence[str]
) -> Estimate:
    """Chance-corrected forgetting CCF: (accuracy before - after) / (accuracy before - chance).

    1 is an accuracy at chance, above 1 one below chance: answers are avoided.

    Args:
        before: the target's answers.
        after: the model's answers.
        chance: 1 / number of options of each item, or the answer (0 or 1) of a model that never learned it.
        facts: the fact of each item.

    Returns:
        NaN if accuracy before was at chance; unbounded if it may have been.
    """
    unit = common_unit(chance)
    drop = [unit * (b - a) for b, a in zip(before, after, strict=True)]
    room = [above_chance(b, c, unit) for b, c in zip(before, chance, strict=True)]
    return ratio_of_sums(drop, room, facts, forgetting_outcomes(chance, unit))


def forgetting_outcomes(chance: Sequence[float], unit: int = 1) -> list[tuple[float, float]]:
    """All pairs (before - after, before - chance) that one question can have, times `unit`; see `fieller`.

    Chances of 1 / number of options enter with their mean, a model's answers as both 0 and 1.
    """
    are_answers = set(chance) <= {0.0, 1.0}
    levels = (0.0, 1.0) if are_answers else (fmean(chance),) if len(chance) else ()
    return [(unit * (b - a), unit * (b - level)) for b, a in BEFORE_AFTER for level in levels]


def forgetting_against_gold(
    before: Sequence[float], after: Sequence[float], gold: Sequence[float], facts: Sequence[str]
) -> Estimate:
    """Forgetting relative to gold: (accuracy before - after) / (accuracy before - gold's).

    1 means that the model knows as much as if it had never learned the forget items, above 1 that it knows less.

    Args:
        before: the target's answers.
        after: the model's answers.
        gold: the answers of gold, which did not learn the forget items.
        facts: the fact of each item.
    """
    drop = [b - a for b, a in zip(before, after, strict=True)]
    room = [b - g for b, g in zip(before, gold, strict=True)]
    # The best value is 1, so neither direction is better: to forget more than gold is no gain.
    return ratio_of_sums(drop, room, facts, forgetting_outcomes((0.0, 1.0)), higher_is_better=None)


def recall_share(before: Sequence[float], after: Sequence[float], facts: Sequence[str]) -> Estimate:
    """The ratio of recalled items after / before; may exceed 1. Answers are 1 for a recalled item, else 0."""
    return ratio_of_sums(after, before, facts, [(a, b) for b, a in BEFORE_AFTER], least=0.0)


def knowledge_preservation(before: Sequence[float], after: Sequence[float], facts: Sequence[str]) -> Estimate:
    """Knowledge preservation KPR: accuracy on retain items after / before; may exceed 1."""
    return recall_share(before, after, facts)


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
