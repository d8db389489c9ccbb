"""HMTA: one number for forgetting and preservation over the levels of the concept hierarchy.

The paper (arXiv 2511.19498) names HMTA, and its definition was not available to us; this one is ours. With w the weight
of an item's level and H the harmonic mean:

    forgetting    R = sum of w (before - after) / sum of w (before - chance), over target items
                  F = R for R <= 1, 2 - R above, cut to [0, 1]
    preservation  P = sum of w after / sum of w before, over all other items, cut to [0, 1]
    HMTA          = H(F, P)

F and P are each computed over all levels before they are combined. The mean of the levels' own harmonic means would not
do: a model that forgot nothing would get the score of every level without target items, and the mean would jump when a
level gains its last item. F decreases for R > 1, because answers that are wrong more often than by chance, or than
gold's, are avoided rather than unknown. If the target answered no better than chance before, there was nothing to
forget, and HMTA is undefined.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from duolearn_cli.evaluation.metrics.chance import above_chance, common_unit
from duolearn_cli.evaluation.metrics.intervals import FEW_FACTS, Estimate, ratio_of_sums
from duolearn_cli.evaluation.metrics.knowledge import BEFORE_AFTER, forgetting_outcomes


@dataclass(frozen=True, slots=True)
class Scored:
    """One item before and after unlearning.

    Attributes:
        fact: the fact that the item asks.
        level: its level in the hierarchy, 1 to 4.
        is_target: whether it belongs to the forget target.
        before: 1 if the answer before unlearning was right, else 0.
        after: likewise after unlearning.
        chance: 1 / number of options, or the answer (0 or 1) of a model that never learned the item.
    """

    fact: str
    level: int
    is_target: bool
    before: float
    after: float
    chance: float


def by_level(items: Sequence[Scored]) -> dict[int, dict[str, Estimate]]:
    """Forgetting, preservation and score of each level, as far as the level has enough facts.

    Target items and other items each need `FEW_FACTS` facts at a level, or have no value there. Only a level with both
    values has a score, their harmonic mean.

    Returns:
        By level, ``forgetting``, ``preservation`` and ``score``, each from 0 to 1, with 95 % intervals over facts.
    """
    levels: dict[int, dict[str, Estimate]] = {}
    for level in sorted({item.level for item in items}):
        kinds = {kind: [i for i in items if i.level == level and i.is_target == kind] for kind in (True, False)}
        kinds = {kind: own for kind, own in kinds.items() if len({item.fact for item in own}) >= FEW_FACTS}
        measures = {}
        if True in kinds:
            measures["forgetting"] = forgetting(kinds[True])
        if False in kinds:
            measures["preservation"] = preservation(kinds[False])
        if len(measures) == 2:
            measures["score"] = harmonic_mean(measures["forgetting"], measures["preservation"])
        if measures:
            levels[level] = measures
    return levels


def hmta(items: Sequence[Scored], weights: Mapping[int, float]) -> Estimate | None:
    """HMTA: the harmonic mean of forgetting and preservation over all levels; None if either is undefined.

    Args:
        items: all scored items that have a level.
        weights: the weight of an item of each level. Levels without a weight do not count.
    """
    used = [item for item in items if weights.get(item.level, 0) > 0]
    parts = forgetting(used, weights), preservation(used, weights)
    return None if any(math.isnan(part.value) for part in parts) else harmonic_mean(*parts)


def forgetting(items: Sequence[Scored], weights: Mapping[int, float] | None = None) -> Estimate:
    """F over the target items among `items`. Its value is NaN if nothing was known above chance before."""
    own = [item for item in items if item.is_target]
    chance, weight = [item.chance for item in own], _weights(own, weights)
    # In whole numbers: a denominator of zero must not come out as 1e-16.
    unit = common_unit(chance)
    drop = [w * unit * (item.before - item.after) for w, item in zip(weight, own, strict=True)]
    room = [w * above_chance(item.before, item.chance, unit) for w, item in zip(weight, own, strict=True)]
    # The pseudo-facts that widen the interval weigh as much as a fact of the sample.
    mean_weight = sum(weight) / max(1, len(weight))
    outcomes = [(mean_weight * above, mean_weight * below) for above, below in forgetting_outcomes(chance, unit)]
    share = ratio_of_sums(drop, room, [item.fact for item in own], outcomes)
    return replace(share, value=math.nan) if sum(room) <= 0 else _within(share, _capped)


def preservation(items: Sequence[Scored], weights: Mapping[int, float] | None = None) -> Estimate:
    """P over the items among `items` that do not belong to the target."""
    own = [item for item in items if not item.is_target]
    weight = _weights(own, weights)
    after = [w * item.after for w, item in zip(weight, own, strict=True)]
    before = [w * item.before for w, item in zip(weight, own, strict=True)]
    mean_weight = sum(weight) / max(1, len(weight))
    outcomes = [(mean_weight * a, mean_weight * b) for b, a in BEFORE_AFTER]
    return _within(ratio_of_sums(after, before, [item.fact for item in own], outcomes), lambda share: min(1.0, share))


def harmonic_mean(forgotten: Estimate, preserved: Estimate) -> Estimate:
    """The harmonic mean H(F, P), with an interval from the intervals of F and P.

    F and P are over different facts, so their errors are independent. The lower end combines them by square and add
    (Zou and Donner 2008): it lies below H by the root of the sum of the squared moves that either lower end alone
    would cause. The upper end is H of both upper ends. Square and add would not do there: F and P are cut at 1 and err
    downwards only, so for a model with F = P = 1 it would miss the truth every other time. An unbounded part may be
    anything from 0 to 1.
    """
    value = _harmonic(forgotten.value, preserved.value)
    of_forgotten, of_preserved = _ends(forgotten), _ends(preserved)
    num_facts = (forgotten.facts or 0) + (preserved.facts or 0)
    score = Estimate(value, None, None, forgotten.n + preserved.n, True, num_facts)
    if math.isnan(value) or of_forgotten is None or of_preserved is None:
        return score
    (low_forgotten, high_forgotten), (low_preserved, high_preserved) = of_forgotten, of_preserved
    by_forgotten = value - _harmonic(low_forgotten, preserved.value)
    by_preserved = value - _harmonic(forgotten.value, low_preserved)
    low = max(0.0, value - math.hypot(by_forgotten, by_preserved))
    return replace(score, low=low, high=_harmonic(high_forgotten, high_preserved))


def _weights(items: Sequence[Scored], weights: Mapping[int, float] | None) -> list[float]:
    return [1.0 if weights is None else weights[item.level] for item in items]


def _capped(share: float) -> float:
    """F of R: rises to 1 at R = 1 and falls again above."""
    return max(0.0, min(share, 2 - share))


def _within(estimate: Estimate, cut: Callable[[float], float]) -> Estimate:
    """Map an estimate by `cut`, which rises up to 1 and may fall above."""
    estimate = replace(estimate, value=cut(estimate.value) if math.isfinite(estimate.value) else estimate.value)
    if estimate.low is None or estimate.high is None:
        return estimate
    ends = cut(estimate.low), cut(estimate.high)
    # An interval that holds 1 is mapped to one that ends there: the maximum of `cut` lies inside, not at an end.
    return replace(estimate, low=min(ends), high=1.0 if estimate.low <= 1 <= estimate.high else max(ends))


def _ends(part: Estimate) -> tuple[float, float] | None:
    """The ends of an interval: all of [0, 1] if it is unbounded, None if there is none."""
    if part.unbounded:
        return 0.0, 1.0
    return None if part.low is None or part.high is None else (part.low, part.high)


def _harmonic(first: float, second: float) -> float:
    """The harmonic mean of two numbers from 0 to 1; 0 if both are 0."""
    total = first + second
    return 0.0 if total == 0 else 2 * first * second / total
