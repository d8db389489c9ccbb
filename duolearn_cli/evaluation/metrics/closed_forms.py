"""Intervals in closed form, over whole facts: phrasings of one fact are not independent.

Everything here takes sums by fact and returns the two ends of an interval. What these intervals cover was simulated:
docs/intervals.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
# Facts that are thought to have been seen besides, so that a sample without a surprise does not claim that there are
# none. For ratios z^2 of them in all, as Agresti and Coull (1998) add to a share; they only widen, and move no centre.
# A share needs one: Wilson's interval allows for the rest.
PSEUDO_FACTS = float(stats.norm.ppf(0.975)) ** 2
# Up to so many hits Wilson's lower end is too high (Brown, Cai and DasGupta 2001, section 4.1.1).
RARE = 3.0

Interval = tuple[float, float]


def wilson(share: float, count: float, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's (1927) score interval of a share of `count` trials; `count` need not be whole.

    With at most three hits the lower end is Poisson's, with at most three misses the upper end (Brown, Cai and DasGupta
    2001, "Interval estimation for a binomial proportion", eq. 10): Wilson's own misses rare events too often.
    """
    z2 = float(stats.norm.ppf(0.5 + confidence / 2)) ** 2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = np.sqrt(z2 * (share * (1 - share) / count + z2 / (4 * count**2))) / (1 + z2 / count)
    low = min(max(0.0, centre - half), _rarest(share * count, confidence) / count)
    high = max(min(1.0, centre + half), 1 - _rarest((1 - share) * count, confidence) / count)
    return float(low), float(high)


def _rarest(hits: float, confidence: float) -> float:
    """The smallest mean with which so few hits are not surprising, if they are few; else infinite."""
    if hits > RARE:
        return np.inf
    return float(stats.chi2.ppf(1 - confidence, 2 * hits)) / 2 if hits > 0 else 0.0


def clustered_wilson(hits: np.ndarray, sizes: np.ndarray, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's interval of sum(hits) / sum(sizes) on the effective number of facts (Dean and Pagano 2015).

    That number is the facts' over the design effect: facts whose questions agree count one each, questions that are
    right or wrong by themselves count up to one each. The design effect is that of the facts and of one more, half
    right and half wrong in all its questions; without it few errors would say that questions are independent. No error
    may raise the lower end above that of a sample without one, nor a hit lower the upper end.

    Args:
        hits: right answers by fact, each from 0 to its size; means of several answers are allowed. Shape: [facts].
        sizes: questions by fact, positive. Shape: [facts].
    """
    num_facts, share = len(sizes), float(hits.sum() / sizes.sum())
    mean_size = float(sizes.mean())
    middle = float((hits.sum() + mean_size / 2) / (sizes.sum() + mean_size))
    squares = ((hits - middle * sizes) ** 2).sum() + mean_size**2 * ((1 - middle) ** 2 + middle**2) / 2
    design = squares / (num_facts + 1) / (mean_size**2 * middle * (1 - middle))
    low, high = wilson(share, num_facts / design, confidence)
    low = min(low, wilson(1.0, num_facts, confidence)[0])
    return low, max(high, wilson(0.0, num_facts, confidence)[1])


def fieller(
    numerator: np.ndarray,
    denominator: np.ndarray,
    outcomes: Sequence[tuple[float, float]],
    size: float,
    confidence: float = CONFIDENCE,
) -> Interval | None:
    """Fieller's (1954) interval of sum(numerator) / sum(denominator); None where it is unbounded.

    It holds all ratios R for which the mean of ``numerator - R * denominator`` is zero by a t-test over facts. Where
    the denominator itself may be zero, no finite interval has 95 %, and there is none.

    Args:
        numerator, denominator: sums by fact, two facts at least. Shape: [facts].
        outcomes: the pairs of numerator and denominator that one question can have. `PSEUDO_FACTS` facts, whose
            questions agree and which have all outcomes equally often, widen the interval: where all answers stayed the
            same, the sample has no spread, and the next fact may differ.
        size: questions of a fact.
    """
    num_facts, columns = len(numerator), np.stack([numerator, denominator]).astype(float)
    t2 = float(stats.t.ppf(0.5 + confidence / 2, num_facts - 1)) ** 2
    means = columns.mean(1, keepdims=True)
    spread = (columns - means) @ (columns - means).T * num_facts / (num_facts - 1)
    pseudo = size * np.asarray(outcomes, dtype=float).T - means
    spread = spread + PSEUDO_FACTS / len(outcomes) * pseudo @ pseudo.T
    above, below = columns.sum(1)
    # a R^2 - 2 b R + c <= 0
    a, b, c = below**2 - t2 * spread[1, 1], above * below - t2 * spread[0, 1], above**2 - t2 * spread[0, 0]
    if a <= 0:
        return None
    root = np.sqrt(max(0.0, b * b - a * c))
    return float((b - root) / a), float((b + root) / a)


def hall(numerator: np.ndarray, denominator: np.ndarray, confidence: float = CONFIDENCE) -> Interval | None:
    """Interval of sum(numerator) / sum(denominator), positive and hardly varying denominators; None without spread.

    A t-interval of the ratio's linear part over facts, after Hall's (1992) transformation has removed its skewness:
    losses are skewed, and the plain t-interval of 30 of them covers 88 % where this one covers 94 %.
    """
    value = float(numerator.sum() / denominator.sum())
    parts = (numerator - value * denominator) / float(denominator.mean())
    deviation = float(parts.std(ddof=1))
    # What is left of equal values by rounding is no spread.
    if deviation <= 1e-12 * max(1.0, abs(value)):
        return None
    return value - hall_arm(parts, 0.5 + confidence / 2), value - hall_arm(parts, 0.5 - confidence / 2)


def hall_arm(parts: np.ndarray, confidence: float) -> float:
    """How far the mean of `parts` is above its one-sided bound of that confidence, a lower one from .5 up; 0 if equal.

    A t-test after Hall's (1992) transformation. Shape of `parts`: [facts], two at least.
    """
    num_facts, apart = len(parts), parts - parts.mean()
    # What is left of equal values by rounding is no spread.
    if np.abs(apart).max() <= 1e-12 * max(1.0, np.abs(parts).max()):
        return 0.0
    skewness = float((apart**3).mean()) / float(apart.std()) ** 3
    t = float(stats.t.ppf(confidence, num_facts - 1))
    return float(apart.std(ddof=1)) / float(np.sqrt(num_facts)) * _untransformed(t, skewness, num_facts)


def _untransformed(t: float, skewness: float, count: int) -> float:
    """The studentised mean whose transform is `t`: Hall 1992, "On the removal of skewness by transformation", g^-1.

    g(x) = x + a x^2 / sqrt(n) + a^2 x^3 / (3 n) + a / (2 sqrt(n)), with a = skewness / 3.
    """
    a = skewness / (3 * np.sqrt(count))
    shifted = t - a / 2
    return float((np.cbrt(1 + 3 * a * shifted) - 1) / a) if abs(a) > 1e-9 else float(shifted)


def paired_difference(
    differences: np.ndarray, sizes: np.ndarray, confidence: float = CONFIDENCE, most: float = 1.0
) -> Interval:
    """Interval of sum(differences) / sum(sizes), the difference of two shares of the same questions.

    It ends at -+ `most`, the largest difference there can be: 1 of two shares, 2 of the differences of two pairs.

    A t-interval over facts, widened by `PSEUDO_FACTS` facts of the outcomes -1, 0, 0, 1 (Agresti and Min 2005).
    """
    num_facts, value = len(sizes), float(differences.sum() / sizes.sum())
    mean_size = float(sizes.mean())
    spread = ((differences - value * sizes) ** 2).sum() * num_facts / (num_facts - 1)
    spread += PSEUDO_FACTS / 4 * mean_size**2 * ((1 - value) ** 2 + 2 * value**2 + (1 + value) ** 2)
    half = float(stats.t.ppf(0.5 + confidence / 2, num_facts - 1)) * np.sqrt(spread) / float(sizes.sum())
    return max(-most, float(value - half)), min(most, float(value + half))
