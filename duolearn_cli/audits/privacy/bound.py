"""The statistics of the one-run privacy audit: a lower bound on epsilon from guesses about canaries.

Steinke, Nasr and Jagielski, "Privacy Auditing with One (1) Training Run" (NeurIPS 2023). A fair coin decides for each
of m canaries whether it joins the data. An auditor who has seen the run guesses r of the coins and abstains from the
rest. Under (epsilon, delta)-differential privacy many correct guesses are unlikely; observing them rules out a small
epsilon.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import binom

# Upper end of the search for the bound. No audit with a few thousand canaries can show more.
MAX_BOUND = 50.0


def p_value(num_canaries: int, num_guesses: int, num_correct: int, epsilon: float, delta: float) -> float:
    """An upper bound on the probability of at least `num_correct` correct guesses under (epsilon, delta)-DP.

    With W ~ Binomial(r, 1 / (1 + e^-epsilon)), r = `num_guesses`, v = `num_correct` and m = `num_canaries`, it is
    ``P[W >= v] + 2 m delta max_i P[v > W >= v - i] / i`` over 1 <= i <= v (theorem 5.2 and corollary 5.4 of the paper).
    """
    p_correct = expit(epsilon)
    tail = float(binom.sf(num_correct - 1, num_guesses, p_correct))
    # Entry i - 1 is P[v > W >= v - i].
    below = np.cumsum(binom.pmf(np.arange(num_correct - 1, -1, -1), num_guesses, p_correct))
    delta_term = float((below / np.arange(1, num_correct + 1)).max()) if num_correct else 0.0
    return min(1.0, tail + 2 * num_canaries * delta * delta_term)


def lower_bound(num_canaries: int, num_guesses: int, num_correct: int, delta: float, confidence: float = 0.95) -> float:
    """The lower bound on epsilon at this confidence: the guesses rule out every smaller epsilon. 0 if they rule out
    none.

    The p-value grows with epsilon, so the bound is the root of ``p_value = 1 - confidence``.
    """
    level = 1 - confidence

    def excess(epsilon: float) -> float:
        return p_value(num_canaries, num_guesses, num_correct, epsilon, delta) - level

    if excess(0.0) >= 0:
        return 0.0
    if excess(MAX_BOUND) < 0:
        return MAX_BOUND
    return float(brentq(excess, 0.0, MAX_BOUND, xtol=1e-6))  # type: ignore[arg-type]


def reach(num_canaries: int, num_guesses: int, delta: float, confidence: float = 0.95) -> float:
    """The bound if every guess were correct. An audit cannot contradict a claim that is at least this large."""
    return lower_bound(num_canaries, num_guesses, num_guesses, delta, confidence)


def guesses(scores: np.ndarray, num_guesses: int) -> np.ndarray:
    """Guess half of `num_guesses` coins each way: 1 (in the data) for the highest scores, -1 for the lowest, else 0.

    Shapes: scores [m] -> [m]. 0 means that the auditor abstains.
    """
    order, half = np.argsort(scores, kind="stable"), num_guesses // 2
    guessed = np.zeros(len(scores), dtype=int)
    guessed[order[:half]], guessed[order[len(order) - half :]] = -1, 1
    return guessed


def score(observed: np.ndarray, noise_multiplier: float, rate: float) -> np.ndarray:
    """The log likelihood ratio of each canary being in the data, summed over steps. Shapes: [steps, m] -> [m].

    `observed` is each canary's coordinate of the noisy sum, in units of the clipping norm: Gaussian noise, plus one in
    the steps that the canary joined, each with probability `rate`. By the Neyman-Pearson lemma no test is more
    powerful.
    """
    # The floor keeps the score finite for an engine without noise, which the audit has to catch.
    variance = max(noise_multiplier, 1e-6) ** 2
    joined = (2 * observed - 1) / (2 * variance)
    # At a rate of 1 a canary never stays out: log(0) is the right value, and no reason to warn.
    with np.errstate(divide="ignore"):
        return np.logaddexp(np.log1p(-rate), np.log(rate) + joined).sum(0)
