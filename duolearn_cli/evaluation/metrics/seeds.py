"""Confidence intervals over seeds and facts together.

Runs that differ only in their seeds are asked the same facts. Their values scatter less than those of another choice of
facts would, so an interval over seeds alone leaves out the larger part of the uncertainty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import numpy as np

from duolearn_cli.evaluation.metrics.closed_forms import PSEUDO_FACTS
from duolearn_cli.evaluation.metrics.intervals import CONFIDENCE

# Fewer seeds give no interval: they say nothing about other seeds.
FEWEST = 3
ANY, POSITIVE = (-math.inf, math.inf), (0.0, math.inf)
# Facts contribute to the scatter of seeds, and this share of the contribution is subtracted. Subtracting all of it,
# three seeds that happen to scatter little get intervals that cover 93 %; with half of it coverage is 95 to 98 %
# (simulated with known variances).
TAKEN_OFF = 0.5
# The range of figures that are neither shares nor rows of `evaluation.measures`, by the last part of their names.
LIMITS = {
    "recovered": ANY,
    "above_gold": ANY,
    "nll_distance": POSITIVE,
    "perplexity": POSITIVE,
    "bits_per_byte": POSITIVE,
    "target": POSITIVE,
    "general_medical": POSITIVE,
    "neutral": POSITIVE,
}


@dataclass(frozen=True, slots=True)
class Spread:
    """Variances due to the choice of facts.

    Attributes:
        mean: the variance of the mean over seeds.
        run: the variance of one run's value, averaged over the runs.
        apart: the part of `mean` that the runs do not have in common. The scatter of the seeds contains it too, and it
            must be counted once.
    """

    mean: float
    run: float
    apart: float

    @classmethod
    def of(cls, errors: np.ndarray) -> Spread:
        """Estimate the variances from each fact's contribution to each run's error. Shape: [seeds, facts].

        A fact that a run was not asked contributes 0. For the variance of the mean, all seeds' answers to a fact form
        one cluster; two-way clustering (Cameron, Gelbach and Miller 2011) removes the part that seeds and facts share.
        """
        count, facts = errors.shape
        scale = facts / max(1, facts - 1)
        mean = scale * float((errors.mean(0) ** 2).sum())
        run = scale * float((errors**2).sum(1).mean())
        return cls(mean, run, max(0.0, run - mean) / max(1, count - 1))

    @property
    def share(self) -> float:
        """The width of the interval of the mean relative to one run's; 1 if the variances are unknown."""
        return min(1.0, math.sqrt(self.mean / self.run)) if self.run > 0 else 1.0


def over_seeds(
    estimates: Sequence[Mapping[str, Any]],
    errors: np.ndarray | None = None,
    *,
    limits: tuple[float, float] = ANY,
    confidence: float = CONFIDENCE,
) -> dict[str, Any]:
    """The mean of one estimate for each seed, with a 95 % interval over seeds and facts together.

    Each arm of the interval is ``hypot(facts, seeds)`` (MOVER, Zou and Donner 2008). `facts` is the mean arm of the
    runs' own intervals, so that their properties carry over to the mean. It is shortened as far as `errors` shows that
    the runs err on different facts. `seeds` is the t quantile with ``seeds - 1`` degrees of freedom times the standard
    error over seeds, minus a part of what the facts contribute to it (`TAKEN_OFF`).

    Args:
        estimates: ``value``, ``low`` and ``high`` of each run; the last two are None for a run without an interval.
        errors: as for `Spread.of`. None: the runs are assumed to err alike and to scatter by their seeds only, so that
            the interval is rather too wide.
        limits: the interval is cut to these.
        confidence: of the interval, which the runs' own intervals must have too.

    Returns:
        ``value``; and ``low`` and ``high`` if there are at least `FEWEST` seeds and every run has an interval.
    """
    values = [float(one["value"]) for one in estimates]
    estimate: dict[str, Any] = {"value": fmean(values)}
    arms = [_arms(one) for one in estimates]
    known = [arm for arm in arms if arm is not None]
    if len(values) < FEWEST or len(known) < len(values):
        return estimate
    spread = Spread.of(errors) if errors is not None and errors.size else Spread(0.0, 0.0, 0.0)
    seeds = _reach(values, spread.apart, confidence)
    below, above = (math.hypot(spread.share * fmean(side), seeds) for side in zip(*known, strict=True))
    return estimate | _cut(estimate["value"] - below, estimate["value"] + above, limits)


def _arms(estimate: Mapping[str, Any]) -> tuple[float, float] | None:
    """The distances of a run's value from the ends of its interval; None if it has none."""
    value, low, high = (estimate.get(key) for key in ("value", "low", "high"))
    if value is None or low is None or high is None or not all(map(math.isfinite, (value, low, high))):
        return None
    return max(0.0, value - low), max(0.0, high - value)


def _reach(values: Sequence[float], apart: float = 0.0, confidence: float = CONFIDENCE) -> float:
    """Half the width of the t-interval over seeds, after subtracting `TAKEN_OFF` of the facts' variance `apart`."""
    from scipy import stats

    own = max(0.0, stdev(values) ** 2 / len(values) - TAKEN_OFF * apart)
    return float(stats.t.ppf((1 + confidence) / 2, len(values) - 1)) * math.sqrt(own)


def _cut(low: float, high: float, limits: tuple[float, float]) -> dict[str, float]:
    return {"low": min(max(low, limits[0]), limits[1]), "high": max(min(high, limits[1]), limits[0])}


def difference_over_seeds(
    first: Sequence[float], second: Sequence[float], errors: np.ndarray, confidence: float = CONFIDENCE
) -> dict[str, Any]:
    """The mean over seeds of ``first - second``, with an interval over seeds and facts, both paired.

    Args:
        first: one value for each seed.
        second: the other values, in the same order of seeds.
        errors: each fact's contribution to the error of each value, with the same facts for both. Shape: [2, seeds,
            facts].
        confidence: of the interval.

    Returns:
        As `over_seeds`. The facts' arm is a t interval over clusters of facts, widened by the pseudo-facts of
        `paired_difference`.
    """
    values = [ours - theirs for ours, theirs in zip(first, second, strict=True)]
    if errors.shape[2] < 2:
        return {"value": fmean(values)}
    apart, reach = _paired_reach(values, errors[0] - errors[1], confidence)
    estimates = [
        {"value": value, "low": value - own, "high": value + own} for value, own in zip(values, reach, strict=True)
    ]
    return over_seeds(estimates, apart, confidence=confidence)


def difference_over_facts(
    first: float, second: float, errors: np.ndarray, confidence: float = CONFIDENCE
) -> dict[str, Any]:
    """One run's value less another's, ``first - second``, with an interval over the facts, paired.

    Args:
        errors: each fact's contribution to the error of each value. Shape: [2, facts].
        confidence: of the interval.

    Returns:
        ``value``; and ``low`` and ``high`` if there are two facts or more. The interval says nothing about other seeds.
    """
    value = first - second
    if errors.shape[1] < 2:
        return {"value": value}
    _, (reach,) = _paired_reach([value], (errors[0] - errors[1])[None], confidence)
    return {"value": value, "low": value - float(reach), "high": value + float(reach)}


def _paired_reach(values: Sequence[float], apart: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """The errors of paired differences with pseudo-facts added, and half the width of each one's t interval over facts.

    Shapes: [seeds, facts] -> [seeds, facts + 4], [seeds].
    """
    from scipy import stats

    facts = apart.shape[1]
    # The pseudo-facts are the same for all seeds: that all seeds' answers agree is no evidence about other facts.
    outcomes = np.array([-1.0, 0.0, 0.0, 1.0])
    pseudo = math.sqrt(PSEUDO_FACTS / len(outcomes)) * (outcomes - fmean(values)) / facts
    apart = np.concatenate([apart, np.broadcast_to(pseudo, (len(values), len(outcomes)))], axis=1)
    factor = float(stats.t.ppf((1 + confidence) / 2, facts - 1)) * math.sqrt(facts / (facts - 1))
    return apart, factor * np.sqrt((apart**2).sum(1))


@dataclass(frozen=True, eq=False, slots=True)
class Noise:
    """Simulated errors of a mean over seeds: Student's t on the seeds' scatter, with the same draws for all figures.

    Attributes:
        weights: weights of the seeds' deviations from their mean. Shape: [draws, seeds].
    """

    weights: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator, draws: int, seeds: int) -> Noise:
        """Draw the weights for `seeds` seeds. With one seed there is no scatter, and every simulated error is 0."""
        freedom = max(1, seeds - 1)
        tail = np.sqrt(freedom / rng.chisquare(freedom, (draws, 1)))
        return cls(rng.standard_normal((draws, seeds)) * tail / math.sqrt(seeds * freedom))

    def of(self, values: np.ndarray, apart: float = 0.0) -> np.ndarray:
        """Simulated errors of the mean of `values`; `apart` as in `Spread`. Shapes: [seeds] -> [draws]."""
        deviations = values - values.mean()
        variance = float((deviations**2).sum()) / (len(values) * max(1, len(values) - 1))
        # Shrink the scatter by what the facts contribute to it, as `_reach` does.
        shrinkage = math.sqrt(max(0.0, 1 - TAKEN_OFF * apart / variance)) if variance > 0 else 0.0
        return shrinkage * (self.weights @ deviations)


def ratio_errors(sums: np.ndarray) -> np.ndarray:
    """Each fact's contribution to the error of each run's ratio of sums, to first order; 0 if the denominator is 0.

    Shapes: numerator and denominator sums [runs, facts, 2] -> [runs, facts].
    """
    above, below = sums[..., 0], sums[..., 1]
    total = below.sum(-1, keepdims=True)
    ratio = np.divide(above.sum(-1, keepdims=True), total, out=np.zeros_like(total), where=total != 0)
    return np.divide(above - ratio * below, total, out=np.zeros_like(below), where=total != 0)


def auc_errors(wins: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Each fact's contribution to the error of each run's AUC (DeLong's structural components).

    Args:
        wins: 1 if a member scores above a non-member, 0.5 for a tie. Shape: [runs, members, others].
        pairs: 1 if the run was asked both facts, else 0. Shape: [runs, members, others].

    Returns:
        The contributions of the members, then of the non-members. Shape: [runs, members + others].
    """
    total = pairs.sum((1, 2))
    area = np.divide(wins.sum((1, 2)), total, out=np.zeros_like(total), where=total > 0)
    below = np.where(total > 0, total, 1.0)[:, None]
    left = pairs * (wins - area[:, None, None])
    return np.concatenate([left.sum(2), left.sum(1)], axis=1) / below
