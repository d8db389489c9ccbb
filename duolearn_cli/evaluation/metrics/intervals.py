"""Values with 95 % intervals over whole facts: phrasings of one fact are not independent.

Shares, ratios and means have intervals in closed form (`closed_forms`); what has none is resampled.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from duolearn_cli.evaluation.metrics.closed_forms import CONFIDENCE, clustered_wilson, fieller, hall, paired_difference
from duolearn_cli.evaluation.metrics.few import FEW_FACTS as FEW_FACTS

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval.

    Attributes:
        low, high: None where there is no interval.
        n: the number of items behind it.
        facts: the number of facts behind it, which the interval is over; None where it is not told. Of a membership
            attack the pairs: members alone, while `n` counts both sides.
        unbounded: there is no interval because the denominator of a ratio may be zero: any value is possible.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    higher_is_better: bool | None = None
    facts: int | None = None
    unbounded: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def by_cluster(values: ArrayLike, clusters: Sequence[str]) -> np.ndarray:
    """Sum `values` by cluster, clusters in sorted order. Shape: [number of clusters]."""
    _, index = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    return np.bincount(index, weights=np.asarray(values, dtype=float))


def bootstrap(
    columns: Sequence[np.ndarray],
    statistic: Callable[..., np.ndarray],
    *,
    n: int,
    seed: int = 0,
) -> Estimate:
    """Percentile bootstrap of ``statistic(*columns, axis=-1)``.

    Args:
        columns: per-cluster sums, resampled together.
        n: the number of items to report.

    The interval is undefined (None) with fewer than two clusters, where the statistic is not finite, or where all
    resamples agree.
    """
    value = float(statistic(*columns, axis=-1))
    if not math.isfinite(value) or min(len(column) for column in columns) < 2:
        return Estimate(value, None, None, n)
    result = _resampled(columns, statistic, seed)
    low, high = (float(bound) for bound in result.confidence_interval)
    # Where every resample agrees the bootstrap knows nothing about the uncertainty: better no interval than +-0.
    if not (math.isfinite(low) and math.isfinite(high)) or low == high:
        return Estimate(value, None, None, n)
    return Estimate(value, low, high, n)


def _resampled(columns: Sequence[np.ndarray], statistic: Callable[..., np.ndarray], seed: int) -> Any:
    """SciPy's result of the bootstrap, with its interval and the statistic of every resample."""
    with warnings.catch_warnings():
        # A statistic undefined in some resample (a ratio over zero) makes an interval that is not finite.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        return stats.bootstrap(
            tuple(columns),
            statistic,
            paired=len(columns) > 1,
            vectorized=True,
            n_resamples=RESAMPLES,
            batch=100,
            confidence_level=CONFIDENCE,
            method="percentile",
            rng=np.random.default_rng(seed),
        )


def distance(columns: Sequence[np.ndarray], counts: np.ndarray, *, n: int, seed: int = 0) -> Estimate:
    """How far means are from zero, ``sum over k of |d_k|`` with ``d_k = sum(columns[k]) / sum(counts)``; 0 is best.

    Noise can only add to a distance, so that the percentiles of its own bootstrap lie above it, all of them where it is
    small. The interval is therefore made of the error of the vector d, which noise moves to either side: by the
    triangle inequality the true distance lies within ``sum |d* - d|`` of ours, and of that the 95 % quantile over
    resamples is taken. It holds the value by construction, and is rather too wide than too narrow.

    Args:
        columns: per-cluster sums of each part of the vector. `counts`: the number of items of each cluster.
        n: the number of items to report.

    The bounds are cut to 0 and 1, for distances that cannot be more. No interval with fewer than two clusters, or where
    all resamples agree.
    """
    own = [float(column.sum() / counts.sum()) for column in columns]
    value = sum(map(abs, own))
    if not math.isfinite(value) or len(counts) < 2:
        return Estimate(value, None, None, n, higher_is_better=False)

    def error(*drawn: np.ndarray, axis: int = -1) -> np.ndarray:
        below = drawn[-1].sum(axis)
        apart = (np.abs(part.sum(axis) / below - here) for part, here in zip(drawn[:-1], own, strict=True))
        return sum(apart, np.zeros(()))

    errors = _resampled([*columns, counts], error, seed).bootstrap_distribution
    reach = float(np.quantile(errors, CONFIDENCE))
    if reach == 0:
        return Estimate(value, None, None, n, higher_is_better=False)
    return Estimate(value, max(0.0, value - reach), min(1.0, value + reach), n, higher_is_better=False)


def proportion(
    hits: Sequence[float],
    clusters: Sequence[str],
    *,
    higher_is_better: bool | None = None,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """The mean of `hits`, each from 0 to 1, with Wilson's interval on the effective number of facts.

    No interval for a single fact.
    """
    if not len(hits):
        return Estimate(math.nan, None, None, 0, higher_is_better, 0)
    sums, sizes = by_cluster(hits, clusters), by_cluster([1.0] * len(hits), clusters)
    value = float(sums.sum() / sizes.sum())
    low, high = clustered_wilson(sums, sizes, confidence) if len(sizes) > 1 else (None, None)
    return Estimate(value, low, high, len(hits), higher_is_better, len(sizes))


def ratio_of_sums(
    numerator: Sequence[float],
    denominator: Sequence[float],
    clusters: Sequence[str],
    outcomes: Sequence[tuple[float, float]],
    *,
    higher_is_better: bool | None = True,
    least: float = -math.inf,
) -> Estimate:
    """sum(numerator) / sum(denominator) of answers to the same questions, with Fieller's interval over facts.

    `outcomes` are the pairs that one question can have, `least` is the lowest value that the ratio can have. Where the
    denominator may be zero the interval is unbounded; where it is zero in the sample there is no value either.
    """
    above, below = (by_cluster(values, clusters) if len(values) else np.zeros(1) for values in (numerator, denominator))
    value, count = float(ratio(above, below)), len(numerator)
    found = Estimate(value, None, None, count, higher_is_better, len(above) if count else 0)
    if len(above) < 2:
        return found
    interval = fieller(above, below, outcomes, count / len(above)) if math.isfinite(value) else None
    if interval is None:
        return replace(found, unbounded=True)
    return replace(found, low=max(least, interval[0]), high=interval[1])


def mean(
    values: Sequence[float] | np.ndarray,
    clusters: Sequence[str],
    counts: Sequence[float] | np.ndarray | None = None,
    *,
    higher_is_better: bool | None = None,
    most: float = math.inf,
) -> Estimate:
    """sum(values) / sum(counts) of numbers that are not negative, with Hall's skewness-corrected interval over facts.

    `counts` are ones by default: the mean. `most` is the highest possible value. No interval without spread.
    """
    if not len(values):
        return Estimate(math.nan, None, None, 0, higher_is_better, 0)
    above = by_cluster(values, clusters)
    below = by_cluster(np.ones(len(values)) if counts is None else counts, clusters)
    value = float(ratio(above, below))
    found = Estimate(value, None, None, len(values), higher_is_better, len(above))
    interval = hall(above, below) if len(above) > 1 and math.isfinite(value) else None
    return found if interval is None else replace(found, low=max(0.0, interval[0]), high=min(most, interval[1]))


def difference(
    first: ArrayLike, second: ArrayLike, clusters: Sequence[str], *, confidence: float = CONFIDENCE
) -> Estimate:
    """The difference of two shares of the same questions, each answer from 0 to 1, with an interval over facts."""
    apart = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    sums, sizes = by_cluster(apart, clusters), by_cluster(np.ones(len(apart)), clusters)
    value = float(sums.sum() / sizes.sum())
    low, high = paired_difference(sums, sizes, confidence) if len(sizes) > 1 else (None, None)
    return Estimate(value, low, high, len(apart), None, len(sizes))


def ratio(numerator: np.ndarray, denominator: np.ndarray, axis: int = -1) -> np.ndarray:
    """Ratio of sums along `axis`; not a number where the denominator sums to zero."""
    below = denominator.sum(axis)
    return np.divide(numerator.sum(axis), below, out=np.full(np.shape(below), np.nan), where=below != 0)
