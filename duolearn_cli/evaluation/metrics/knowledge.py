"""Forgetting and preservation, from per-item answers (method.md section 8, our definitions).

Every function takes answers as 0/1 per item and `facts`, the cluster of each item, in the same order.
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

# Right or wrong, before and after: what can become of one question.
BEFORE_AFTER = tuple(product((0.0, 1.0), repeat=2))


def forgetting_rate(after: Sequence[float], facts: Sequence[str]) -> Estimate:
    """FR = 1 - accuracy on forget items after unlearning."""
    return proportion([1.0 - hit for hit in after], facts)


def relative_drop(before: Sequence[float], after: Sequence[float], facts: Sequence[str]) -> Estimate:
    """(accuracy before - accuracy after) / accuracy before."""
    drop = [b - a for b, a in zip(before, after, strict=True)]
    return ratio_of_sums(drop, before, facts, [(b - a, b) for b, a in BEFORE_AFTER])


def chance_corrected_forgetting(
    before: Sequence[float], after: Sequence[float], chance: Sequence[float], facts: Sequence[str]
) -> Estimate:
    """(accuracy before - accuracy after) / (accuracy before - chance): 1 at chance, above 1 below chance.

    `chance` is each item's 1 / number of options, or 1 or 0 for the answer of a model that never learned it. No value
    where the answers before were as good as chance, an unbounded one where they may have been.
    """
    unit = common_unit(chance)
    drop = [unit * (b - a) for b, a in zip(before, after, strict=True)]
    room = [above_chance(b, c, unit) for b, c in zip(before, chance, strict=True)]
    return ratio_of_sums(drop, room, facts, forgetting_outcomes(chance, unit))


def forgetting_outcomes(chance: Sequence[float], unit: int = 1) -> list[tuple[float, float]]:
    """`unit` times what one question can add to drop and room, in pairs.

    `chance` counts with its mean; where it is the answers of a model, as right and as wrong.
    """
    answered = set(chance) <= {0.0, 1.0}
    levels = (0.0, 1.0) if answered else (fmean(chance),) if len(chance) else ()
    return [(unit * (b - a), unit * (b - level)) for b, a in BEFORE_AFTER for level in levels]


def forgetting_against_gold(
    before: Sequence[float], after: Sequence[float], gold: Sequence[float], facts: Sequence[str]
) -> Estimate:
    """(accuracy before - after) / (accuracy before - gold's): 1 where as much is known as if it had never been learned.

    `gold` are the answers of the model that did not learn the forget items. Above 1 less is known than that.
    """
    drop = [b - a for b, a in zip(before, after, strict=True)]
    room = [b - g for b, g in zip(before, gold, strict=True)]
    # One is best: more than gold forgets is no gain.
    return ratio_of_sums(drop, room, facts, forgetting_outcomes((0.0, 1.0)), higher_is_better=None)


def recall_share(before: Sequence[float], after: Sequence[float], facts: Sequence[str]) -> Estimate:
    """Answers that the model says of itself after / before; may exceed 1. Both are 1 for a recalled item, else 0."""
    return ratio_of_sums(after, before, facts, [(a, b) for b, a in BEFORE_AFTER], least=0.0)


def knowledge_preservation(before: Sequence[float], after: Sequence[float], facts: Sequence[str]) -> Estimate:
    """KPR = accuracy on retain items after / before; may exceed 1."""
    return recall_share(before, after, facts)


def commonest(answers: Sequence[Hashable], facts: Sequence[str], chance: float) -> tuple[Hashable, Estimate, bool]:
    """The answer that is right most often, its share, and whether that is more than `chance` beyond doubt.

    Beyond doubt: the lower end of Wilson's interval over facts, widened for the choice among ``1 / chance`` answers.
    Needs one answer at least; of several that are equally common it is the first.
    """
    answer, _ = Counter(answers).most_common(1)[0]
    share = proportion([float(one == answer) for one in answers], facts)
    num_facts = len(set(facts))
    confidence = 1 - (1 - CONFIDENCE) * chance
    low = stats.binomtest(round(share.value * num_facts), num_facts).proportion_ci(confidence, method="wilson").low
    return answer, share, bool(low > chance)
