"""Confidence intervals in closed form over whole facts, since phrasings of one fact are not independent.

Every function takes sums by fact and returns the two ends of an interval. Their coverage was simulated
(docs/intervals.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
# Pseudo-facts are added to a sample, so that one in which all answers agree does not claim that all others do too.
# Ratios and differences get z^2 of them in total, as Agresti and Coull (1998) add to a share. Here they only widen the
# interval and never move its centre. Shares need no more than one, since Wilson's interval allows for the rest.
PSEUDO_FACTS = float(stats.norm.ppf(0.975)) ** 2
# With up to this many hits, Wilson's lower end is too high (Brown, Cai and DasGupta 2001, section 4.1.1).
RARE = 3.0

Interval = tuple[float, float]


def wilson(share: float, count: float, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's (1927) score interval of a share of `count` trials; `count` need not be whole.

    With at most three hits the lower end is Poisson's instead, and with at most three misses the upper end (Brown, Cai
    and DasGupta 2001, "Interval estimation for a binomial proportion", eq. 10): for rare events Wilson's own end fails
    to cover the truth too often.
    """
    z2 = float(stats.norm.ppf(0.5 + confidence / 2)) ** 2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = np.sqrt(z2 * (share * (1 - share) / count + z2 / (4 * count**2))) / (1 + z2 / count)
    low = min(max(0.0, centre - half), _rarest(share * count, confidence) / count)
    high = max(min(1.0, centre + half), 1 - _rarest((1 - share) * count, confidence) / count)
    return float(low), float(high)


def _rarest(hits: float, confidence: float) -> float:
    """The smallest Poisson mean that is consistent with so many hits; infinite for more than `RARE` hits."""
    if hits > RARE:
        return np.inf
    return float(stats.chi2.ppf(1 - confidence, 2 * hits)) / 2 if hits > 0 else 0.0


def clustered_wilson(hits: np.ndarray, sizes: np.ndarray, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's interval of ``sum(hits) / sum(sizes)`` on the effective number of facts (Dean and Pagano 2015).

    The effective number is the number of facts divided by the design effect. A fact whose questions all agree counts as
    one; if questions err independently, each counts as up to one.

    Args:
        hits: right answers of each fact, from 0 to its size; means of several answers are allowed. Shape: [facts].
        sizes: questions of each fact, positive. Shape: [facts].
        confidence: the interval's confidence level.
    """
    num_facts, share = len(sizes), float(hits.sum() / sizes.sum())
    mean_size = float(sizes.mean())
    # The design effect is estimated with one pseudo-fact more: one half is right in all its questions, the other half
    # wrong. Without it, a sample with few errors would claim that questions err independently.
    middle = float((hits.sum() + mean_size / 2) / (sizes.sum() + mean_size))
    squares = ((hits - middle * sizes) ** 2).sum() + mean_size**2 * ((1 - middle) ** 2 + middle**2) / 2
    design = squares / (num_facts + 1) / (mean_size**2 * middle * (1 - middle))
    low, high = wilson(share, num_facts / design, confidence)
    # An error must not raise the lower end above that of a sample without errors, nor a hit lower the upper end.
    low = min(low, wilson(1.0, num_facts, confidence)[0])
    return low, max(high, wilson(0.0, num_facts, confidence)[1])


def fieller(
    numerator: np.ndarray,
    denominator: np.ndarray,
    outcomes: Sequence[tuple[float, float]],
    size: float,
    confidence: float = CONFIDENCE,
) -> Interval | None:
    """Fieller's (1954) interval of ``sum(numerator) / sum(denominator)``.

    The interval holds all ratios R for which a t-test over facts does not reject that the mean of
    ``numerator - R * denominator`` is zero.

    Args:
        numerator: sums by fact, at least two facts. Shape: [facts].
        denominator: likewise. Shape: [facts].
        outcomes: all pairs (numerator, denominator) that one question can contribute. `PSEUDO_FACTS` facts with these
            outcomes in equal shares widen the interval: if no answer changed, the sample has no spread, although the
            next fact may differ.
        size: the mean number of questions of a fact.
        confidence: the interval's confidence level.

    Returns:
        None if the denominator may be zero: then no finite interval has the confidence level.
    """
    num_facts, columns = len(numerator), np.stack([numerator, denominator]).astype(float)
    t2 = float(stats.t.ppf(0.5 + confidence / 2, num_facts - 1)) ** 2
    means = columns.mean(1, keepdims=True)
    spread = (columns - means) @ (columns - means).T * num_facts / (num_facts - 1)
    pseudo = size * np.asarray(outcomes, dtype=float).T - means
    spread = spread + PSEUDO_FACTS / len(outcomes) * pseudo @ pseudo.T
    above, below = columns.sum(1)
    # The test does not reject R where a R^2 - 2 b R + c <= 0; that is bounded only for a > 0.
    a, b, c = below**2 - t2 * spread[1, 1], above * below - t2 * spread[0, 1], above**2 - t2 * spread[0, 0]
    if a <= 0:
        return None
    root = np.sqrt(max(0.0, b * b - a * c))
    return float((b - root) / a), float((b + root) / a)


def hall(numerator: np.ndarray, denominator: np.ndarray, confidence: float = CONFIDENCE) -> Interval | None:
    """A skewness-corrected interval of ``sum(numerator) / sum(denominator)``, for positive, similar denominators.

    A t-interval over facts of the ratio's linear part, after Hall's (1992) transformation has removed the skewness.
    Losses are skewed: for 30 of them the plain t-interval covers 88 % where this one covers 94 %.

    Shapes: [facts] each. Returns None if the facts have no spread.
    """
    value = float(numerator.sum() / denominator.sum())
    parts = (numerator - value * denominator) / float(denominator.mean())
    deviation = float(parts.std(ddof=1))
    # Equal values differ by rounding at most, which is no spread.
    if deviation <= 1e-12 * max(1.0, abs(value)):
        return None
    return value - hall_arm(parts, 0.5 + confidence / 2), value - hall_arm(parts, 0.5 - confidence / 2)


def hall_arm(parts: np.ndarray, confidence: float) -> float:
    """The distance of the mean of `parts` from its one-sided bound, by a t-test after Hall's (1992) transformation.

    For q above 0.5, ``mean - hall_arm(parts, q)`` is the lower bound of confidence q. For q below 0.5 it is the upper
    bound of confidence 1 - q.

    Args:
        parts: one value for each fact, at least two. Shape: [facts].
        confidence: q.

    Returns:
        The distance; 0 if all values are equal.
    """
    num_facts, apart = len(parts), parts - parts.mean()
    # Equal values differ by rounding at most, which is no spread.
    if np.abs(apart).max() <= 1e-12 * max(1.0, np.abs(parts).max()):
        return 0.0
    skewness = float((apart**3).mean()) / float(apart.std()) ** 3
    t = float(stats.t.ppf(confidence, num_facts - 1))
    return float(apart.std(ddof=1)) / float(np.sqrt(num_facts)) * _untransformed(t, skewness, num_facts)


def _untransformed(t: float, skewness: float, count: int) -> float:
    """The inverse of Hall's transformation: the studentised mean x with ``g(x) = t``.

    ``g(x) = x + a x^2 / sqrt(n) + a^2 x^3 / (3 n) + a / (2 sqrt(n))`` with ``a = skewness / 3`` and n = `count` (Hall
    1992, "On the removal of skewness by transformation").
    """
    a = skewness / (3 * np.sqrt(count))
    shifted = t - a / 2
    # The closed form divides by `a`; without skewness g is the identity.
    return float((np.cbrt(1 + 3 * a * shifted) - 1) / a) if abs(a) > 1e-9 else float(shifted)


def paired_difference(
    differences: np.ndarray, sizes: np.ndarray, confidence: float = CONFIDENCE, most: float = 1.0
) -> Interval:
    """An interval of ``sum(differences) / sum(sizes)``, the difference of two shares of the same questions.

    A t-interval over facts, widened by `PSEUDO_FACTS` facts with the outcomes -1, 0, 0, 1 (Agresti and Min 2005).

    Args:
        differences: the sum of each fact's differences. Shape: [facts].
        sizes: questions of each fact. Shape: [facts].
        confidence: the interval's confidence level.
        most: the largest possible difference, where the interval is cut: 1 for two shares, 2 for the difference of two
            such differences.
    """
    num_facts, value = len(sizes), float(differences.sum() / sizes.sum())
    mean_size = float(sizes.mean())
    spread = ((differences - value * sizes) ** 2).sum() * num_facts / (num_facts - 1)
    spread += PSEUDO_FACTS / 4 * mean_size**2 * ((1 - value) ** 2 + 2 * value**2 + (1 + value) ** 2)
    half = float(stats.t.ppf(0.5 + confidence / 2, num_facts - 1)) * np.sqrt(spread) / float(sizes.sum())
    return max(-most, float(value - half)), min(most, float(value + half))
