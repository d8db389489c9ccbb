"""HMTA: forgetting and preservation by level of the concept hierarchy, in one number.

The paper (arXiv 2511.19498) names HMTA and gives no definition that we could read; this one is ours (method.md section
8). At each level, with the harmonic mean H:

    forgetting    F = clip((accuracy before - accuracy after) / (accuracy before - chance), 0, 1), over target items
    preservation  P = clip(accuracy after / accuracy before, 0, 1), over all other items
    score         S = H(F, P); F or P alone where the level has items of one kind only

and HMTA is the mean of S over levels, weighted by the levels' weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from duolearn_cli.metrics.intervals import Estimate, bootstrap, by_cluster

# A kind of item (target or other) with fewer items at a level has no part in any score.
MIN_ITEMS = 30


@dataclass(frozen=True, slots=True)
class Scored:
    """One item before and after unlearning; `before` and `after` are 1 for a right answer, else 0."""

    fact: str
    level: int
    is_target: bool
    before: float
    after: float
    chance: float


def by_level(items: Sequence[Scored]) -> dict[int, dict[str, Estimate]]:
    """Return {level: {"forgetting", "preservation", "score"}}, as far as the level has enough items.

    Intervals are 95 % over facts, before and after resampled together.
    """
    found: dict[int, dict[str, Estimate]] = {}
    for level, kinds in sorted(_counts(items).items()):
        chosen = [item for item in items if item.level == level]
        measures = {"forgetting": _level_forgetting, "preservation": _level_preservation, "score": _level_score}
        numbers = {"forgetting": kinds[True], "preservation": kinds[False], "score": len(chosen)}
        wanted = [
            name for name in measures if numbers[name] >= MIN_ITEMS or (name == "score" and max(kinds) >= MIN_ITEMS)
        ]
        columns = _columns(chosen, level, kinds)
        found[level] = {
            name: bootstrap(columns, measures[name], n=numbers[name], higher_is_better=True) for name in wanted
        }
    return {level: measures for level, measures in found.items() if measures}


def hmta(items: Sequence[Scored], weights: Mapping[int, float]) -> Estimate | None:
    """The weighted mean of the levels' scores; None where no level with a weight has enough items."""
    counts = {
        level: kinds
        for level, kinds in sorted(_counts(items).items())
        if max(kinds) >= MIN_ITEMS and weights.get(level, 0) > 0
    }
    if not counts:
        return None
    columns = [column for level, kinds in counts.items() for column in _columns(items, level, kinds)]
    n = sum(kind for kinds in counts.values() for kind in kinds if kind >= MIN_ITEMS)
    return bootstrap(columns, _mean_of_levels([weights[level] for level in counts]), n=n, higher_is_better=True)


def _counts(items: Sequence[Scored]) -> dict[int, list[int]]:
    """Number of [other, target] items by level."""
    counts: dict[int, list[int]] = {}
    for item in items:
        counts.setdefault(item.level, [0, 0])[item.is_target] += 1
    return counts


def _columns(items: Sequence[Scored], level: int, kinds: Sequence[int]) -> list[np.ndarray]:
    """Sums by fact of: target drop, target room, other after, other before; zero for kinds with too few items."""

    def column(is_target: bool, value: Callable[[Scored], float]) -> np.ndarray:
        enough = kinds[is_target] >= MIN_ITEMS
        values = [
            value(item) if enough and item.level == level and item.is_target == is_target else 0.0 for item in items
        ]
        return by_cluster(values, [item.fact for item in items])

    return [
        column(True, lambda item: item.before - item.after),
        column(True, lambda item: item.before - item.chance),
        column(False, lambda item: item.after),
        column(False, lambda item: item.before),
    ]


def _level_forgetting(*columns: np.ndarray, axis: int = -1) -> np.ndarray:
    return _clipped_ratio(columns[0], columns[1], axis)


def _level_preservation(*columns: np.ndarray, axis: int = -1) -> np.ndarray:
    return _clipped_ratio(columns[2], columns[3], axis)


def _level_score(*columns: np.ndarray, axis: int = -1) -> np.ndarray:
    forgetting, preservation = _level_forgetting(*columns, axis=axis), _level_preservation(*columns, axis=axis)
    total = forgetting + preservation
    both = np.divide(2 * forgetting * preservation, total, out=np.zeros_like(total), where=total > 0)
    # A kind without items has no ratio at all: the other one stands alone.
    both = np.where(np.isnan(preservation), forgetting, both)
    return np.where(np.isnan(forgetting), preservation, both)


def _mean_of_levels(weights: Sequence[float]) -> Callable[..., np.ndarray]:
    def statistic(*columns: np.ndarray, axis: int = -1) -> np.ndarray:
        scores = [_level_score(*columns[4 * i : 4 * i + 4], axis=axis) for i in range(len(weights))]
        return np.average(np.stack(scores), axis=0, weights=np.asarray(weights))

    return statistic


def _clipped_ratio(numerator: np.ndarray, denominator: np.ndarray, axis: int) -> np.ndarray:
    """Ratio of sums, in [0, 1]; not a number where the denominator is not positive."""
    above, below = numerator.sum(axis), denominator.sum(axis)
    ratio = np.divide(above, below, out=np.full(np.shape(below), np.nan), where=below > 0)
    return np.clip(ratio, 0, 1)
