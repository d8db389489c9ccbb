"""Estimates with 95 % confidence intervals over whole facts, since phrasings of one fact are not independent.

Shares, ratios and means have closed forms (`closed_forms`). Other statistics are bootstrapped.
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
    """A value with its 95 % confidence interval.

    Attributes:
        value: the estimate; NaN if undefined.
        low: lower end of the interval, None if there is none.
        high: upper end of the interval, None if there is none.
        n: the number of items.
        higher_is_better: the direction, None if neither is better.
        facts: the number of facts that the interval is over, None if unknown. For a membership attack it is the number
            of pairs, while `n` counts both sides.
        unbounded: there is no interval because the denominator of a ratio may be zero, so that any value is possible.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    higher_is_better: bool | None = None
    facts: int | None = None
    unbounded: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The estimate as metrics.json holds it."""
        return asdict(self)


def by_cluster(values: ArrayLike, clusters: Sequence[str]) -> np.ndarray:
    """Sum `values` by cluster, clusters in sorted order. Shapes: [n], n names -> [number of distinct clusters]."""
    # np.unique sorts, so that the sums of two calls about the same clusters match, whatever the order of the items.
    _, index = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    return np.bincount(index, weights=np.asarray(values, dtype=float))


def bootstrap(
    columns: Sequence[np.ndarray],
    statistic: Callable[..., np.ndarray],
    *,
    n: int,
    seed: int = 0,
) -> Estimate:
    """Percentile bootstrap of ``statistic(*columns, axis=-1)`` over clusters.

    Args:
        columns: sums by cluster, resampled together.
        statistic: a vectorised function of the columns.
        n: the number of items to report.
        seed: of the resampling.

    Returns:
        The estimate; without an interval if there are fewer than two clusters, the statistic is not finite, or all
        resamples agree.
    """
    value = float(statistic(*columns, axis=-1))
    if not math.isfinite(value) or min(len(column) for column in columns) < 2:
        return Estimate(value, None, None, n)
    result = _resampled(columns, statistic, seed)
    low, high = (float(bound) for bound in result.confidence_interval)
    # If all resamples agree, the bootstrap knows nothing about the uncertainty: no interval is better than one of +-0.
    if not (math.isfinite(low) and math.isfinite(high)) or low == high:
        return Estimate(value, None, None, n)
    return Estimate(value, low, high, n)


def _resampled(columns: Sequence[np.ndarray], statistic: Callable[..., np.ndarray], seed: int) -> Any:
    """SciPy's bootstrap result: the interval, and the statistic of every resample."""
    with warnings.catch_warnings():
        # If the statistic is undefined in some resample (a ratio over zero), the interval is not finite; callers check.
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
    """The distance ``sum over k of |d_k|`` of a vector of means ``d_k = sum(columns[k]) / sum(counts)`` from zero.

    Noise can only increase a distance, so the percentiles of its own bootstrap lie above the value, all of them if it
    is small. The interval is therefore made from the error of the vector d, which noise moves to either side. By the
    triangle inequality the true distance lies within ``sum |d* - d|`` of the estimate; the 95 % quantile of that sum
    over resamples is the reach of the interval. The interval always holds the value, and is rather too wide than too
    narrow.

    Args:
        columns: for each component, its sums by cluster.
        counts: the number of items of each cluster.
        n: the number of items to report.
        seed: of the resampling.

    Returns:
        The estimate, with its interval cut to [0, 1]: distances above 1 are not supported. No interval if there are
        fewer than two clusters, or all resamples agree.
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
    """The mean of `hits`, each from 0 to 1, with `clustered_wilson`'s interval. A single cluster has no interval."""
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
    """The ratio ``sum(numerator) / sum(denominator)`` over the same questions, with Fieller's interval over facts.

    Args:
        numerator: one value for each question.
        denominator: one value for each question.
        clusters: the fact of each question.
        outcomes: all pairs (numerator, denominator) that one question can have; see `fieller`.
        higher_is_better: the direction, for tables.
        least: the smallest value that the ratio can have, where the interval is cut.

    Returns:
        The estimate. It is unbounded if the denominator may be zero, and its value is NaN if the denominator is zero.
    """
    above, below = (by_cluster(values, clusters) if len(values) else np.zeros(1) for values in (numerator, denominator))
    value, count = float(ratio(above, below)), len(numerator)
    estimate = Estimate(value, None, None, count, higher_is_better, len(above) if count else 0)
    if len(above) < 2:
        return estimate
    interval = fieller(above, below, outcomes, count / len(above)) if math.isfinite(value) else None
    if interval is None:
        return replace(estimate, unbounded=True)
    return replace(estimate, low=max(least, interval[0]), high=interval[1])


def mean(
    values: Sequence[float] | np.ndarray,
    clusters: Sequence[str],
    counts: Sequence[float] | np.ndarray | None = None,
    *,
    higher_is_better: bool | None = None,
    most: float = math.inf,
) -> Estimate:
    """The mean ``sum(values) / sum(counts)`` of non-negative numbers, with Hall's skewness-corrected interval.

    Args:
        values: one number for each item, or a sum over `counts`.
        clusters: the fact of each item.
        counts: how many numbers each value sums; 1 by default.
        higher_is_better: the direction, for tables.
        most: the largest possible value, where the interval is cut.

    Returns:
        The estimate; without an interval if the facts have no spread. NaN if there are no values.
    """
    if not len(values):
        return Estimate(math.nan, None, None, 0, higher_is_better, 0)
    above = by_cluster(values, clusters)
    below = by_cluster(np.ones(len(values)) if counts is None else counts, clusters)
    value = float(ratio(above, below))
    estimate = Estimate(value, None, None, len(values), higher_is_better, len(above))
    interval = hall(above, below) if len(above) > 1 and math.isfinite(value) else None
    return estimate if interval is None else replace(estimate, low=max(0.0, interval[0]), high=min(most, interval[1]))


def difference(
    first: ArrayLike, second: ArrayLike, clusters: Sequence[str], *, confidence: float = CONFIDENCE
) -> Estimate:
    """The difference of two shares over the same questions, each answer from 0 to 1, with `paired_difference`'s
    interval.

    A single fact has no interval.
    """
    apart = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    sums, sizes = by_cluster(apart, clusters), by_cluster(np.ones(len(apart)), clusters)
    value = float(sums.sum() / sizes.sum())
    low, high = paired_difference(sums, sizes, confidence) if len(sizes) > 1 else (None, None)
    return Estimate(value, low, high, len(apart), None, len(sizes))


def ratio(numerator: np.ndarray, denominator: np.ndarray, axis: int = -1) -> np.ndarray:
    """The ratio of sums along `axis`; NaN where the denominator sums to zero."""
    below = denominator.sum(axis)
    return np.divide(numerator.sum(axis), below, out=np.full(np.shape(below), np.nan), where=below != 0)
