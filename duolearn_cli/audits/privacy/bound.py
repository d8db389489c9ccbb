"""From guesses about canaries to a lower bound on epsilon: the one-run audit.

Steinke, Nasr and Jagielski, "Privacy Auditing with One (1) Training Run" (NeurIPS 2023): of m canaries each is put into
the data by a fair coin; who has seen the run guesses r of the coins and abstains from the rest. Under (epsilon, delta)
differential privacy many right guesses are unlikely.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import binom

# No audit of a few thousand canaries can show more.
LARGEST = 50.0


def p_value(num_canaries: int, num_guesses: int, num_correct: int, epsilon: float, delta: float) -> float:
    """How likely at least `num_correct` of `num_guesses` right guesses are under (epsilon, delta)-DP, at most.

    With W ~ Binomial(r, 1 / (1 + e^-epsilon)): ``P[W >= v] + 2 m delta max_i P[v > W >= v - i] / i`` over 1 <= i <= v
    (their theorem 5.2, corollary 5.4).
    """
    truth = expit(epsilon)
    tail = float(binom.sf(num_correct - 1, num_guesses, truth))
    below = np.cumsum(binom.pmf(np.arange(num_correct - 1, -1, -1), num_guesses, truth))
    steepest = float((below / np.arange(1, num_correct + 1)).max()) if num_correct else 0.0
    return min(1.0, tail + 2 * num_canaries * delta * steepest)


def lower_bound(num_canaries: int, num_guesses: int, num_correct: int, delta: float, confidence: float = 0.95) -> float:
    """The epsilon that the guesses rule out everything below of, at this confidence; 0 where they rule out nothing."""
    level = 1 - confidence

    def excess(epsilon: float) -> float:
        return p_value(num_canaries, num_guesses, num_correct, epsilon, delta) - level

    if excess(0.0) >= 0:
        return 0.0
    if excess(LARGEST) < 0:
        return LARGEST
    return float(brentq(excess, 0.0, LARGEST, xtol=1e-6))  # type: ignore[arg-type]


def reach(num_canaries: int, num_guesses: int, delta: float, confidence: float = 0.95) -> float:
    """The bound if every guess were right. An audit can contradict no claim that is as large or larger."""
    return lower_bound(num_canaries, num_guesses, num_guesses, delta, confidence)


def guesses(scores: np.ndarray, num_guesses: int) -> np.ndarray:
    """1 (put in) for the highest half of `num_guesses` scores, -1 for the lowest half, 0 (abstain) for the rest."""
    order, half = np.argsort(scores, kind="stable"), num_guesses // 2
    found = np.zeros(len(scores), dtype=int)
    found[order[:half]], found[order[len(order) - half :]] = -1, 1
    return found


def score(observed: np.ndarray, noise_multiplier: float, rate: float) -> np.ndarray:
    """How much likelier what was seen is with a canary than without: the log of the ratio, summed over steps.

    `observed` [steps, m] is each canary's coordinate of the noised sum, in units of the clipping norm: noise, plus one
    in the steps that the canary joined, which it does with probability `rate`. No test is better (Neyman, Pearson).
    """
    variance = max(noise_multiplier, 1e-6) ** 2
    joined = (2 * observed - 1) / (2 * variance)
    with np.errstate(divide="ignore"):
        return np.logaddexp(np.log1p(-rate), np.log(rate) + joined).sum(0)
