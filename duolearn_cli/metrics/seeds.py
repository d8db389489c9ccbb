"""Means over the seeds of an experiment, with what so few values can tell about others."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any

# Fewer seeds say nothing about others.
FEWEST = 3


def mean_of_seeds(values: Sequence[float]) -> dict[str, Any]:
    """The mean of one value a seed (one at least) with a 95 % t-interval.

    No interval for fewer than three seeds, or where all agree but for rounding: either would claim what so few values
    cannot tell.
    """
    mean = fmean(values)
    if len(values) < FEWEST or len({round(value, 9) for value in values}) == 1:
        return {"value": mean}
    from scipy import stats

    low, high = stats.t.interval(0.95, len(values) - 1, mean, stdev(values) / len(values) ** 0.5)
    return {"value": mean, "low": float(low), "high": float(high)}
