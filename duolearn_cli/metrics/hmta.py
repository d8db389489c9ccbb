"""HMTA: forgetting and preservation by level of the concept hierarchy, in one number.

The paper (arXiv 2511.19498) names HMTA and gives no definition that we could read; this one is ours (method.md section
8). At each level, with the harmonic mean H:

    forgetting    F = clip((accuracy before - accuracy after) / (accuracy before - chance), 0, 1), over target items
    preservation  P = clip(accuracy after / accuracy before, 0, 1), over all other items
    score         S = H(F, P); F or P alone where the level has items of one kind only

and HMTA is the mean of S over levels, weighted by the levels' weights. A level whose target items were answered no
better than by chance before has nothing to forget: its F and S are undefined, and it is left out of the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from duolearn_cli.metrics.chance import above_chance, common_unit
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
    for level, kinds in _counted(items).items():
        chosen = [item for item in items if item.level == level]
        columns = _columns(chosen, level, kinds)
        measures = {"forgetting": (_forgetting, kinds[True]), "preservation": (_preservation, kinds[False])}
        measures = {name: measure for name, measure in measures.items() if measure[1]}
        measures["score"] = (_score_of(kinds), sum(kinds))
        found[level] = {
            name: bootstrap(columns, statistic, n=n, higher_is_better=True) for name, (statistic, n) in measures.items()
        }
    return found


def hmta(items: Sequence[Scored], weights: Mapping[int, float]) -> Estimate | None:
    """The weighted mean of the levels' scores; None where no level with a weight has one."""
    used = {
        level: kinds
        for level, kinds in _counted(items).items()
        if weights.get(level, 0) > 0 and not np.isnan(_score_of(kinds)(*_columns(items, level, kinds)))
    }
    if not used:
        return None
    columns = [column for level, kinds in used.items() for column in _columns(items, level, kinds)]
    statistic = _mean_of([_score_of(kinds) for kinds in used.values()], [weights[level] for level in used])
    return bootstrap(columns, statistic, n=sum(map(sum, used.values())), higher_is_better=True)


def _counted(items: Sequence[Scored]) -> dict[int, list[int]]:
    """Number of [other, target] items by level; 0 for a kind with too few, levels with enough of neither left out."""
    counts: dict[int, list[int]] = {}
    for item in items:
        counts.setdefault(item.level, [0, 0])[item.is_target] += 1
    enough = {level: [n if n >= MIN_ITEMS else 0 for n in kinds] for level, kinds in sorted(counts.items())}
    return {level: kinds for level, kinds in enough.items() if any(kinds)}


def _columns(items: Sequence[Scored], level: int, kinds: Sequence[int]) -> list[np.ndarray]:
    """Sums by fact of: target drop, target room, other after, other before; zero for a kind with too few items.

    Drop and room are in whole numbers of `common_unit`: a room of zero must not come out as 1e-16.
    """
    unit = common_unit(item.chance for item in items)

    def column(is_target: bool, value: Callable[[Scored], float]) -> np.ndarray:
        counts = [kinds[is_target] > 0 and item.level == level and item.is_target == is_target for item in items]
        values = [value(item) if count else 0.0 for item, count in zip(items, counts, strict=True)]
        return by_cluster(values, [item.fact for item in items])

    return [
        column(True, lambda item: unit * (item.before - item.after)),
        column(True, lambda item: above_chance(item.before, item.chance, unit)),
        column(False, lambda item: item.after),
        column(False, lambda item: item.before),
    ]


Statistic = Callable[..., np.ndarray]


def _forgetting(*columns: np.ndarray, axis: int = -1) -> np.ndarray:
    return _clipped_ratio(columns[0], columns[1], axis)


def _preservation(*columns: np.ndarray, axis: int = -1) -> np.ndarray:
    return _clipped_ratio(columns[2], columns[3], axis)


def _score_of(kinds: Sequence[int]) -> Statistic:
    """The level's score: of both kinds, or of the one that has enough items."""
    if not kinds[True] or not kinds[False]:
        return _forgetting if kinds[True] else _preservation
    return _harmonic_mean


def _harmonic_mean(*columns: np.ndarray, axis: int = -1) -> np.ndarray:
    forgetting, preservation = _forgetting(*columns, axis=axis), _preservation(*columns, axis=axis)
    total = forgetting + preservation
    # Both zero: nothing forgotten and nothing kept. Undefined stays undefined.
    return np.where(total == 0, 0.0, 2 * forgetting * preservation / np.where(total == 0, 1.0, total))


def _mean_of(scores: Sequence[Statistic], weights: Sequence[float]) -> Statistic:
    def statistic(*columns: np.ndarray, axis: int = -1) -> np.ndarray:
        values = np.stack([score(*columns[4 * i : 4 * i + 4], axis=axis) for i, score in enumerate(scores)])
        # A resample may miss all facts of a small level: the others speak for it then.
        known = ~np.isnan(values)
        shares = known * np.asarray(weights).reshape(-1, *[1] * (values.ndim - 1))
        return (np.where(known, values, 0.0) * shares).sum(0) / shares.sum(0)

    return statistic


def _clipped_ratio(numerator: np.ndarray, denominator: np.ndarray, axis: int) -> np.ndarray:
    """Ratio of sums, in [0, 1]; not a number where the denominator is not positive."""
    above, below = numerator.sum(axis), denominator.sum(axis)
    ratio = np.divide(above, below, out=np.full(np.shape(below), np.nan), where=below > 0)
    return np.clip(ratio, 0, 1)
