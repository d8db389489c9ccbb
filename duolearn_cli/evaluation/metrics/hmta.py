"""HMTA: forgetting and preservation over the levels of the concept hierarchy, in one number.

The paper (arXiv 2511.19498) names HMTA and gives no definition that we could read; this one is ours. With the weight w
of each item's level and the harmonic mean H:

    forgetting    R = sum of w (before - after) / sum of w (before - chance), over target items
                  F = R up to 1, 2 - R from there on, cut to [0, 1]
    preservation  P = sum of w after / sum of w before, over all other items, cut to [0, 1]
    HMTA          = H(F, P)

Both are taken over all levels before they meet: averaging the levels' own harmonic means would give a model that forgot
nothing the score of every level that has no target items, and would jump where a level gains its last item. Beyond 1 F
falls again: answers that are avoided more often than chance or gold would miss them are not unknown. A target that was
answered no better than by chance before has nothing to forget: there is no HMTA.
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
    """One item before and after unlearning; `before` and `after` are 1 for a right answer, else 0.

    `chance` is 1 / number of options, or the answer of a model that never learned the item.
    """

    fact: str
    level: int
    is_target: bool
    before: float
    after: float
    chance: float


def by_level(items: Sequence[Scored]) -> dict[int, dict[str, Estimate]]:
    """Return {level: {"forgetting", "preservation", "score"}}, each 0 to 1, as far as the level has enough facts.

    A kind of item (target or other) with fewer than `FEW_FACTS` facts at a level has no value there, and only a level
    with both kinds has a score. Intervals are 95 % over facts, before and after together.
    """
    found: dict[int, dict[str, Estimate]] = {}
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
            found[level] = measures
    return found


def hmta(items: Sequence[Scored], weights: Mapping[int, float]) -> Estimate | None:
    """The harmonic mean of forgetting and preservation over all levels; None where either has no value.

    `weights` are those of an item of each level; levels without one do not count.
    """
    used = [item for item in items if weights.get(item.level, 0) > 0]
    parts = forgetting(used, weights), preservation(used, weights)
    return None if any(math.isnan(part.value) for part in parts) else harmonic_mean(*parts)


def forgetting(items: Sequence[Scored], weights: Mapping[int, float] | None = None) -> Estimate:
    """F, over the target items among `items`; not a number where nothing was known above chance."""
    own = [item for item in items if item.is_target]
    chance, weight = [item.chance for item in own], _weights(own, weights)
    # In whole numbers: a room of zero must not come out as 1e-16.
    unit = common_unit(chance)
    drop = [w * unit * (item.before - item.after) for w, item in zip(weight, own, strict=True)]
    room = [w * above_chance(item.before, item.chance, unit) for w, item in zip(weight, own, strict=True)]
    # A fact that is thought to be seen besides weighs as much as one that was.
    mean_weight = sum(weight) / max(1, len(weight))
    outcomes = [(mean_weight * above, mean_weight * below) for above, below in forgetting_outcomes(chance, unit)]
    found = ratio_of_sums(drop, room, [item.fact for item in own], outcomes)
    return replace(found, value=math.nan) if sum(room) <= 0 else _within(found, _capped)


def preservation(items: Sequence[Scored], weights: Mapping[int, float] | None = None) -> Estimate:
    """P, over the items among `items` that are not of the target."""
    own = [item for item in items if not item.is_target]
    weight = _weights(own, weights)
    after = [w * item.after for w, item in zip(weight, own, strict=True)]
    before = [w * item.before for w, item in zip(weight, own, strict=True)]
    mean_weight = sum(weight) / max(1, len(weight))
    outcomes = [(mean_weight * a, mean_weight * b) for b, a in BEFORE_AFTER]
    return _within(ratio_of_sums(after, before, [item.fact for item in own], outcomes), lambda share: min(1.0, share))


def harmonic_mean(forgotten: Estimate, kept: Estimate) -> Estimate:
    """H(F, P) with an interval from those of both, which are of different facts: F and P err independently.

    The lower end is below H by the square root of the sum of squares of what the lower end of either alone would move
    it by (square and add: Zou and Donner 2008). The upper end is that of both upper ends: what is cut at 1 errs
    downwards only, so that of a model with F = P = 1 square and add would miss the truth every other time. Where a part
    is unbounded it may be anything from 0 to 1.
    """
    value = _harmonic(forgotten.value, kept.value)
    of_forgotten, of_kept = _ends(forgotten), _ends(kept)
    num_facts = (forgotten.facts or 0) + (kept.facts or 0)
    found = Estimate(value, None, None, forgotten.n + kept.n, True, num_facts)
    if math.isnan(value) or of_forgotten is None or of_kept is None:
        return found
    (low_forgotten, high_forgotten), (low_kept, high_kept) = of_forgotten, of_kept
    below = math.hypot(value - _harmonic(low_forgotten, kept.value), value - _harmonic(forgotten.value, low_kept))
    return replace(found, low=max(0.0, value - below), high=_harmonic(high_forgotten, high_kept))


def _weights(items: Sequence[Scored], weights: Mapping[int, float] | None) -> list[float]:
    return [1.0 if weights is None else weights[item.level] for item in items]


def _capped(share: float) -> float:
    return max(0.0, min(share, 2 - share))


def _within(found: Estimate, cut: Callable[[float], float]) -> Estimate:
    """The estimate after `cut`, which rises up to 1 and may fall from there on."""
    found = replace(found, value=cut(found.value) if math.isfinite(found.value) else found.value)
    if found.low is None or found.high is None:
        return found
    ends = cut(found.low), cut(found.high)
    return replace(found, low=min(ends), high=1.0 if found.low <= 1 <= found.high else max(ends))


def _ends(part: Estimate) -> tuple[float, float] | None:
    if part.unbounded:
        return 0.0, 1.0
    return None if part.low is None or part.high is None else (part.low, part.high)


def _harmonic(first: float, second: float) -> float:
    """Of two numbers from 0 to 1; 0 if both are: nothing forgotten and nothing kept."""
    total = first + second
    return 0.0 if total == 0 else 2 * first * second / total
