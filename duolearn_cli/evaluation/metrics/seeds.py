"""Intervals over the seeds of an experiment and over the facts that its runs were asked, together.

Runs that differ in their seeds ask the same facts. Their values scatter less than another choice of facts would make
them scatter, so that an interval over seeds alone leaves out the larger part of what is not known.
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

# Fewer seeds say nothing about others.
FEWEST = 3
ANY, POSITIVE, SHARE = (-math.inf, math.inf), (0.0, math.inf), (0.0, 1.0)
# Of what facts have given to the scatter of seeds, the share that is taken off it. With all of it, three seeds whose
# scatter happens to be small have intervals that cover 93 %; with half of it 95 to 98 % (simulated, variances known).
TAKEN_OFF = 0.5
# What a figure can be at all, where that is not a share; by the last part of its name.
LIMITS = {
    "relative_drop": (-math.inf, 1.0),
    "chance_corrected_forgetting": ANY,
    "forgetting_above_majority": ANY,
    "forgetting_against_gold": ANY,
    "recovered": ANY,
    "above_gold": ANY,
    "knowledge_preservation": POSITIVE,
    "retain_recall_share": POSITIVE,
    "preservation": SHARE,
    "nll": POSITIVE,
    "nll_distance": POSITIVE,
    "perplexity": POSITIVE,
    "bits_per_byte": POSITIVE,
    "target": POSITIVE,
    "general_medical": POSITIVE,
    "neutral": POSITIVE,
}


def limits_of(name: str) -> tuple[float, float]:
    """The least and the most that a figure of this name can be; a share unless it is known to be something else."""
    return LIMITS.get(name, SHARE)


@dataclass(frozen=True, slots=True)
class Spread:
    """Variances that the choice of facts gives: to the mean over seeds, to one run, and to each run apart from others.

    Attributes:
        mean: of the mean over seeds, from one choice of facts to another.
        run: of one run's value, on average over the runs.
        apart: what of `mean` is no run's in common: it is in the scatter of seeds as well, and counts once.
    """

    mean: float
    run: float
    apart: float

    @classmethod
    def of(cls, errors: np.ndarray) -> Spread:
        """From what each fact adds to each run's error, as far as errors are sums over facts. Shape: [seeds, facts].

        Facts that only some runs were asked are 0 for the others. The variance of the mean is that of clusters of
        facts, with the seeds' answers to a fact in one cluster; two-way clustering (Cameron, Gelbach and Miller 2011)
        takes the part off that seeds and facts share.
        """
        count, facts = errors.shape
        scale = facts / max(1, facts - 1)
        mean = scale * float((errors.mean(0) ** 2).sum())
        run = scale * float((errors**2).sum(1).mean())
        return cls(mean, run, max(0.0, run - mean) / max(1, count - 1))

    @property
    def share(self) -> float:
        """How wide an interval of the mean over facts is, as a share of one run's; 1 where nothing is known."""
        return min(1.0, math.sqrt(self.mean / self.run)) if self.run > 0 else 1.0


def over_seeds(
    estimates: Sequence[Mapping[str, Any]],
    errors: np.ndarray | None = None,
    *,
    limits: tuple[float, float] = ANY,
    confidence: float = CONFIDENCE,
) -> dict[str, Any]:
    """The mean of one estimate a seed with a 95 % interval over seeds and facts together.

    Both arms of the interval are ``hypot(facts, seeds)`` (MOVER, Zou and Donner 2008). `facts` is the mean arm of the
    runs' own intervals, so that what these are good for holds for their mean; it is as much shorter as `errors` says
    that runs err on different facts. `seeds` is Student's t with ``seeds - 1`` degrees of freedom times the standard
    error over seeds, less a part of what facts have given to that already (`TAKEN_OFF`).

    Args:
        estimates: ``value``, ``low`` and ``high`` of each run, the last two None where it has no interval.
        errors: see `Spread.of`; None: the runs are taken to err alike and their scatter to be the seeds' own, so that
            the interval is rather too wide.
        limits: the bounds are cut to these.
        confidence: of the whole, where the runs' intervals have it too.

    Returns:
        ``value``, and ``low`` and ``high`` from three seeds on, if every run has an interval: fewer say nothing about
        other seeds.
    """
    values = [float(one["value"]) for one in estimates]
    found: dict[str, Any] = {"value": fmean(values)}
    arms = [_arms(one) for one in estimates]
    known = [arm for arm in arms if arm is not None]
    if len(values) < FEWEST or len(known) < len(values):
        return found
    spread = Spread.of(errors) if errors is not None and errors.size else Spread(0.0, 0.0, 0.0)
    seeds = _reach(values, spread.apart, confidence)
    below, above = (math.hypot(spread.share * fmean(side), seeds) for side in zip(*known, strict=True))
    return found | _cut(found["value"] - below, found["value"] + above, limits)


def _arms(estimate: Mapping[str, Any]) -> tuple[float, float] | None:
    value, low, high = (estimate.get(key) for key in ("value", "low", "high"))
    if value is None or low is None or high is None or not all(map(math.isfinite, (value, low, high))):
        return None
    return max(0.0, value - low), max(0.0, high - value)


def _reach(values: Sequence[float], apart: float = 0.0, confidence: float = CONFIDENCE) -> float:
    """Half of the t-interval over seeds, without what is taken off of the variance `apart`, which is the facts'."""
    from scipy import stats

    own = max(0.0, stdev(values) ** 2 / len(values) - TAKEN_OFF * apart)
    return float(stats.t.ppf((1 + confidence) / 2, len(values) - 1)) * math.sqrt(own)


def _cut(low: float, high: float, limits: tuple[float, float]) -> dict[str, float]:
    return {"low": min(max(low, limits[0]), limits[1]), "high": max(min(high, limits[1]), limits[0])}


def difference_over_seeds(
    first: Sequence[float], second: Sequence[float], errors: np.ndarray, confidence: float = CONFIDENCE
) -> dict[str, Any]:
    """The mean over seeds of `first` less `second` with an interval over seeds and facts, both paired.

    Args:
        first, second: one value a seed each, in the same order of seeds.
        errors: what each fact adds to the error of each value; the same facts for both. Shape: [2, seeds, facts].

    Returns:
        As `over_seeds`; the facts' arm is Student's t of clusters of facts, widened by the pseudo-facts of
        `paired_difference`, which are the same for all seeds: answers that agree are no proof that others do.
    """
    from scipy import stats

    apart = errors[0] - errors[1]
    facts = apart.shape[1]
    values = [ours - theirs for ours, theirs in zip(first, second, strict=True)]
    if facts < 2:
        return {"value": fmean(values)}
    outcomes = np.array([-1.0, 0.0, 0.0, 1.0])
    pseudo = math.sqrt(PSEUDO_FACTS / len(outcomes)) * (outcomes - fmean(values)) / facts
    apart = np.concatenate([apart, np.broadcast_to(pseudo, (len(values), len(outcomes)))], axis=1)
    factor = float(stats.t.ppf((1 + confidence) / 2, facts - 1)) * math.sqrt(facts / (facts - 1))
    reach = factor * np.sqrt((apart**2).sum(1))
    estimates = [
        {"value": value, "low": value - own, "high": value + own} for value, own in zip(values, reach, strict=True)
    ]
    return over_seeds(estimates, apart, confidence=confidence)


@dataclass(frozen=True, eq=False, slots=True)
class Noise:
    """Draws of what other seeds would have given: Student's t of the seeds' scatter, the same for all figures.

    Attributes:
        weights: of the seeds' deviations from their mean. Shape: [draws, seeds].
    """

    weights: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator, draws: int, seeds: int) -> Noise:
        """With one seed there is no scatter, and the draws are 0."""
        freedom = max(1, seeds - 1)
        tail = np.sqrt(freedom / rng.chisquare(freedom, (draws, 1)))
        return cls(rng.standard_normal((draws, seeds)) * tail / math.sqrt(seeds * freedom))

    def of(self, values: np.ndarray, apart: float = 0.0) -> np.ndarray:
        """Draws of the error of the mean of `values` [seeds]; `apart`: see `Spread`. Shape: [draws]."""
        deviations = values - values.mean()
        variance = float((deviations**2).sum()) / (len(values) * max(1, len(values) - 1))
        kept = math.sqrt(max(0.0, 1 - TAKEN_OFF * apart / variance)) if variance > 0 else 0.0
        return kept * (self.weights @ deviations)


def ratio_errors(sums: np.ndarray) -> np.ndarray:
    """What each fact adds to the error of each run's ratio of sums, to first order. [runs, facts, 2] -> [runs, facts].

    0 where a ratio has no denominator.
    """
    above, below = sums[..., 0], sums[..., 1]
    total = below.sum(-1, keepdims=True)
    ratio = np.divide(above.sum(-1, keepdims=True), total, out=np.zeros_like(total), where=total != 0)
    return np.divide(above - ratio * below, total, out=np.zeros_like(below), where=total != 0)


def auc_errors(wins: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """The same of each run's AUC, for members and then for non-members (DeLong's structural components).

    Args:
        wins: 1 where a member scores above a non-member, half where it ties. Shape: [runs, members, others].
        pairs: 1 where the run was asked both, else 0. Same shape.

    Shape: [runs, members + others].
    """
    total = pairs.sum((1, 2))
    area = np.divide(wins.sum((1, 2)), total, out=np.zeros_like(total), where=total > 0)
    below = np.where(total > 0, total, 1.0)[:, None]
    left = pairs * (wins - area[:, None, None])
    return np.concatenate([left.sum(2), left.sum(1)], axis=1) / below
