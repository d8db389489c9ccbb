"""Areas under ROC curves and true-positive rates of two independent samples, with intervals that hold at the ends.

Members are the positives, and higher scores are theirs. All counts are of facts, one score a fact.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize, special, stats

from duolearn_cli.evaluation.metrics.intervals import CONFIDENCE

# Standard errors on each side of an interval by itself.
ALONE = float(special.ndtri((1 + CONFIDENCE) / 2))

# Half a placement at 0 and half a one at 1: a sample whose scores are all apart has no spread of its own, though
# another one may well have.
PSEUDO = 0.5


def _placements(member_scores: np.ndarray, other_scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each member the share of non-members below it, for each non-member that of members above it; ties half.

    Shapes: [..., m] and [..., n] -> the same.
    """
    count, other_count = member_scores.shape[-1], other_scores.shape[-1]
    ranks = stats.rankdata(np.concatenate([member_scores, other_scores], axis=-1), axis=-1)
    below = (ranks[..., :count] - stats.rankdata(member_scores, axis=-1)) / other_count
    above = 1 - (ranks[..., count:] - stats.rankdata(other_scores, axis=-1)) / count
    return below, above


def auc_and_trials(member_scores: np.ndarray, other_scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The AUC, and the number of independent trials of which a share would be as uncertain.

    The AUC A is P(member scores higher than non-member) + P(tie) / 2, the Mann-Whitney form of the area under the ROC.
    Its variance is that of the placements (DeLong et al. 1988), whatever the two distributions are like; as a number of
    trials it fits Wilson's interval of a share, which stays within 0 and 1 and has a width at the ends. The variance is
    never above A (1 - A) / min(m, n) (van Dantzig 1951), so that there are at least min(m, n) trials; `PSEUDO`
    placements keep it from being underestimated near the ends. Shapes: [..., m] and [..., n], both with one at least
    -> [...] twice.
    """
    below, above = _placements(member_scores, other_scores)
    trials = 1 / (_relative_variance(below) + _relative_variance(above))
    return below.mean(-1), np.maximum(trials, min(below.shape[-1], above.shape[-1]))


def wilson(share: np.ndarray, trials: np.ndarray, critical: float = ALONE) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of Wilson's interval of a share, with `critical` standard errors on each side. Shapes: [...]."""
    middle = share + critical**2 / (2 * trials)
    reach = critical * np.sqrt(share * (1 - share) / trials + (critical / (2 * trials)) ** 2)
    low, high = ((middle + side * reach) / (1 + critical**2 / trials) for side in (-1, 1))
    # Rounding must not push an end past the value, which lies inside, or past the range.
    return np.clip(np.minimum(low, share), 0, 1), np.clip(np.maximum(high, share), 0, 1)


def _relative_variance(placements: np.ndarray) -> np.ndarray:
    """One sample's part of DeLong's variance, over A (1 - A): at most 1 / count. Shape: [..., count] -> [...]."""
    count = placements.shape[-1]
    mean = (placements.sum(-1) + PSEUDO) / (count + 2 * PSEUDO)
    square = ((placements**2).sum(-1) + PSEUDO) / (count + 2 * PSEUDO)
    return np.maximum(square - mean**2, 1e-12) / (mean * (1 - mean)) / count


def tpr_at(member_scores: np.ndarray, other_scores: np.ndarray, rate: float) -> float:
    """The largest share of members that a threshold finds while at most `rate` of the non-members pass it.

    With fewer than ``1 / rate`` non-members none may pass. Shapes: [m] and [n].
    """
    others = np.sort(other_scores)
    # The highest `allowed` may pass: the threshold lies on the next one, and is passed by what is above it.
    threshold = others[len(others) - 1 - _allowed(len(others), rate)]
    return float((member_scores > threshold).mean())


def _allowed(count: int, rate: float) -> int:
    """How many of `count` non-members may pass. What is missing by rounding alone must not cost one."""
    return int(rate * count + 1e-9)


def tpr_interval(
    member_scores: np.ndarray, other_scores: np.ndarray, rate: float, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """An interval of the share of members above the threshold that `rate` of all non-members, drawn or not, pass.

    Where that threshold lies among the n drawn non-members is uncertain: k of them pass it with the probability of a
    binomial share. Each k leaves the members between two counts, and each count has the ends of Clopper and Pearson;
    the interval is made of quantiles of the mixture over k. It is conservative: with fewer than about 4.4 / `rate`
    non-members all of them may lie below the threshold, so that the lower end is 0. Shapes: [m] and [n].
    """
    others, members = np.sort(other_scores), np.sort(member_scores)
    count, passed = len(members), np.arange(len(others) + 1)
    weights = stats.binom.pmf(passed, len(others), rate)
    kept = weights > 1e-9
    passed, weights = passed[kept], weights[kept] / weights[kept].sum()
    # The k-th highest of the others, the lowest that still passes, and the next one, which does not. The threshold may
    # lie on either where scores are tied: members pass that are above.
    bounds = np.concatenate([[-np.inf], others, [np.inf]])
    least, most = (
        count - np.searchsorted(members, bounds[len(others) + place - passed], side="right") for place in (1, 0)
    )
    tail = (1 - confidence) / 2
    return (
        _quantile(least, count - least + 1, weights, tail),
        _quantile(most + 1, count - most, weights, 1 - tail),
    )


def _quantile(first: np.ndarray, second: np.ndarray, weights: np.ndarray, level: float) -> float:
    """A quantile of a mixture of beta distributions; where a parameter is 0, all its mass is at that end."""

    def above(share: float) -> float:
        inside = special.betainc(np.maximum(first, 1), np.maximum(second, 1), share)
        return float((weights * np.where(first == 0, 1.0, np.where(second == 0, 0.0, inside))).sum()) - level

    if above(0.0) >= 0:
        return 0.0
    if above(1.0) < 0 or above(1.0 - 1e-12) < 0:
        return 1.0
    return float(optimize.root_scalar(above, bracket=(0.0, 1.0 - 1e-12)).root)
