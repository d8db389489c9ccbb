"""Areas under ROC curves (AUC) and true-positive rates, with intervals that also hold near 0 and 1.

Members are the positives and should have the higher scores. Every fact has one score, so that the scores are
independent and all counts are counts of facts.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize, special, stats

from duolearn_cli.evaluation.metrics.intervals import CONFIDENCE

# Standard errors on each side of a single 95 % interval; intervals that hold for several attacks together need more.
ALONE = float(special.ndtri((1 + CONFIDENCE) / 2))

# Half a placement at 0 and half a placement at 1 are added. A sample whose groups do not overlap has no spread of its
# own, although another sample may have.
PSEUDO = 0.5


def _placements(member_scores: np.ndarray, other_scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The share of non-members below each member, and of members above each non-member; a tie counts half.

    Shapes: [..., m] and [..., n] -> the same.
    """
    count, other_count = member_scores.shape[-1], other_scores.shape[-1]
    ranks = stats.rankdata(np.concatenate([member_scores, other_scores], axis=-1), axis=-1)
    below = (ranks[..., :count] - stats.rankdata(member_scores, axis=-1)) / other_count
    above = 1 - (ranks[..., count:] - stats.rankdata(other_scores, axis=-1)) / count
    return below, above


def auc_and_trials(member_scores: np.ndarray, other_scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The AUC, and the effective number of trials: a share of so many independent trials would be as uncertain.

    The AUC is A = P(a member scores higher than a non-member) + P(tie) / 2, the Mann-Whitney form of the area under the
    ROC curve. Its variance is DeLong's (DeLong et al. 1988), which assumes nothing about the two distributions.
    Expressed as a number of trials it fits Wilson's interval of a share, which stays within 0 and 1 and has a width at
    both ends. The variance is at most A (1 - A) / min(m, n) (van Dantzig 1951), so there are at least min(m, n)
    trials. The `PSEUDO` placements keep the variance from being underestimated near the ends.

    Shapes: [..., m] and [..., n], with m, n >= 1 -> [...], [...].
    """
    below, above = _placements(member_scores, other_scores)
    trials = 1 / (_relative_variance(below) + _relative_variance(above))
    return below.mean(-1), np.maximum(trials, min(below.shape[-1], above.shape[-1]))


def wilson(share: np.ndarray, trials: np.ndarray, critical: float = ALONE) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's interval of a share of `trials`, with `critical` standard errors on each side. Shapes: [...]."""
    middle = share + critical**2 / (2 * trials)
    reach = critical * np.sqrt(share * (1 - share) / trials + (critical / (2 * trials)) ** 2)
    low, high = ((middle + side * reach) / (1 + critical**2 / trials) for side in (-1, 1))
    # Rounding must push no end past the share, which lies inside, or out of the range.
    return np.clip(np.minimum(low, share), 0, 1), np.clip(np.maximum(high, share), 0, 1)


def _relative_variance(placements: np.ndarray) -> np.ndarray:
    """One sample's part of DeLong's variance, over A (1 - A); at most 1 / count. Shapes: [..., count] -> [...]."""
    count = placements.shape[-1]
    mean = (placements.sum(-1) + PSEUDO) / (count + 2 * PSEUDO)
    square = ((placements**2).sum(-1) + PSEUDO) / (count + 2 * PSEUDO)
    return np.maximum(square - mean**2, 1e-12) / (mean * (1 - mean)) / count


def tpr_at(member_scores: np.ndarray, other_scores: np.ndarray, rate: float) -> float:
    """The true-positive rate: the largest share of members above a threshold that few non-members pass.

    At most a share `rate` of the non-members may pass. With fewer than ``1 / rate`` non-members none may pass. Shapes:
    [m] and [n] -> scalar.
    """
    others = np.sort(other_scores)
    # The highest `_allowed` non-members may pass. The threshold is the next score, and only higher scores pass it.
    threshold = others[len(others) - 1 - _allowed(len(others), rate)]
    return float((member_scores > threshold).mean())


def _allowed(count: int, rate: float) -> int:
    """How many of `count` non-members may pass."""
    # 0.01 * 100 may come out just below 1, which must still allow one.
    return int(rate * count + 1e-9)


def tpr_interval(
    member_scores: np.ndarray, other_scores: np.ndarray, rate: float, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """An interval of the true-positive rate at the threshold that a share `rate` of the population of non-members
    passes.

    Where this threshold lies among the n sampled non-members is uncertain: the number k of them that pass it is
    binomial. Each k bounds the number of members above the threshold from below and above, and each count has its
    Clopper-Pearson ends. The interval's ends are quantiles of the mixture over k. It is conservative: with fewer than
    about ``4.4 / rate`` non-members, all of them may lie below the threshold, and the lower end is 0.

    Shapes: [m] and [n] -> two scalars.
    """
    others, members = np.sort(other_scores), np.sort(member_scores)
    count, passed = len(members), np.arange(len(others) + 1)
    weights = stats.binom.pmf(passed, len(others), rate)
    likely = weights > 1e-9
    passed, weights = passed[likely], weights[likely] / weights[likely].sum()
    # If k non-members pass, the threshold lies between the k-th highest of them and the next. With ties it may lie on
    # either, and members strictly above it pass: the two ends give the fewest and the most members.
    bounds = np.concatenate([[-np.inf], others, [np.inf]])
    least, most = (
        count - np.searchsorted(members, bounds[len(others) + offset - passed], side="right") for offset in (1, 0)
    )
    tail = (1 - confidence) / 2
    return (
        _quantile(least, count - least + 1, weights, tail),
        _quantile(most + 1, count - most, weights, 1 - tail),
    )


def _quantile(first: np.ndarray, second: np.ndarray, weights: np.ndarray, level: float) -> float:
    """The quantile at `level` of a mixture of beta distributions; with a parameter of 0 all mass is at 0 or at 1.

    Shapes: first, second (the parameters) and weights [k] -> scalar.
    """

    def excess(share: float) -> float:
        inside = special.betainc(np.maximum(first, 1), np.maximum(second, 1), share)
        return float((weights * np.where(first == 0, 1.0, np.where(second == 0, 0.0, inside))).sum()) - level

    if excess(0.0) >= 0:
        return 0.0
    if excess(1.0) < 0 or excess(1.0 - 1e-12) < 0:
        return 1.0
    return float(optimize.root_scalar(excess, bracket=(0.0, 1.0 - 1e-12)).root)
