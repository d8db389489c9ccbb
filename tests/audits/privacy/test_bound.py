"""The statistics of the one-run audit, against published values, an explicit loop, and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from duolearn_cli.audits.privacy.bound import guesses, lower_bound, p_value, reach, score
from duolearn_cli.privacy.accounting import Spending, noise_multiplier


def naive(num_canaries, num_guesses, num_correct, epsilon, delta):
    p_correct = 1 / (1 + math.exp(-epsilon))
    mass = [binom.pmf(k, num_guesses, p_correct) for k in range(num_guesses + 1)]
    steps = [sum(mass[num_correct - i : num_correct]) / i for i in range(1, num_correct + 1)]
    return min(1, sum(mass[num_correct:]) + 2 * num_canaries * delta * max(steps, default=0))


@given(
    guessed=st.integers(1, 60),
    share=st.floats(0, 1),
    epsilon=st.floats(0, 6),
    delta=st.sampled_from([0, 1e-6, 1e-3]),
)
def test_the_p_value_is_the_theorem(guessed, share, epsilon, delta):
    correct = round(share * guessed)
    value = p_value(100, guessed, correct, epsilon, delta)
    assert value == pytest.approx(naive(100, guessed, correct, epsilon, delta), rel=1e-9, abs=1e-12)


def test_the_published_bound():
    """Appendix D of the paper: 75 of 100 guesses correct, 1,000 canaries, delta 1e-4: epsilon is at least 0.673."""
    assert lower_bound(1000, 100, 75, 1e-4) == pytest.approx(0.673, abs=5e-4)


@pytest.mark.parametrize("delta", [0.0, 1.1e-4, 1e-2])
@pytest.mark.parametrize(("canaries", "guessed"), [(100, 20), (1000, 200), (5000, 50)])
def test_p_values_grow_with_epsilon(canaries, guessed, delta):
    """The search for the bound relies on this. The delta term alone does not grow; its sum with the tail does."""
    for correct in range(guessed // 2, guessed + 1, guessed // 10):
        values = [p_value(canaries, guessed, correct, epsilon, delta) for epsilon in np.linspace(0, 8, 161)]
        assert (np.diff(values) > -1e-12).all()


def test_no_outcome_exceeds_the_reach():
    """The reach grows with guesses and shrinks with delta: with few records delta is large and may hide any leak."""
    assert reach(1000, 200, 1 / 9000) == lower_bound(1000, 200, 200, 1 / 9000) == pytest.approx(3.87, abs=0.01)
    assert reach(1000, 200, 1e-5) < reach(1000, 400, 1e-5)
    assert reach(300, 60, 1 / 240) == 0


def test_bounds_grow_with_correct_guesses_and_start_at_zero():
    bounds = [lower_bound(1000, 200, correct, 1e-5) for correct in range(0, 201, 10)]
    assert bounds == sorted(bounds)
    assert bounds[10] == 0 and lower_bound(1000, 200, 110, 1e-5) == 0
    # With every guess correct, the binomial tail alone gives (1 + e^-epsilon)^-r = 0.05.
    assert bounds[-1] <= math.log(1 / (0.05 ** (-1 / 200) - 1)) + 1e-5
    assert lower_bound(1000, 200, 150, 1e-5, 0.99) < lower_bound(1000, 200, 150, 1e-5, 0.9)


@given(correct=st.integers(0, 50), delta=st.sampled_from([0.0, 1e-5, 1e-3]))
def test_every_epsilon_below_the_bound_is_unlikely(correct, delta):
    bound = lower_bound(500, 50, correct, delta)
    if bound:
        assert p_value(500, 50, correct, bound - 1e-5, delta) <= 0.05
        assert p_value(500, 50, correct, bound + 1e-5, delta) >= 0.05 - 1e-6


def test_randomised_response_is_falsely_accused_at_most_once_in_twenty():
    generator, epsilon, trials = np.random.default_rng(0), 1.5, 400
    right = generator.binomial(200, 1 / (1 + math.exp(-epsilon)), size=trials)
    accused = sum(lower_bound(200, 200, int(correct), 0.0) > epsilon for correct in right)
    assert accused / trials <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)
    assert np.mean([lower_bound(200, 200, int(correct), 0.0) for correct in right]) > 1


def test_guesses_are_the_extremes():
    guessed = guesses(np.array([0.3, -2.0, 5.0, 0.1, 0.2, -1.0, 3.0]), 4)
    assert guessed.tolist() == [0, -1, 1, 0, 0, -1, 1]
    assert np.abs(guesses(np.zeros(10), 5)).sum() == 4


@pytest.mark.parametrize("rate", [0.1, 1.0])
def test_the_score_is_the_likelihood_ratio(rate):
    observed = np.random.default_rng(0).normal(size=(5, 3))
    density = lambda x, mean: np.exp(-((x - mean) ** 2) / (2 * 0.8**2))  # noqa: E731
    ratio = ((1 - rate) * density(observed, 0) + rate * density(observed, 1)) / density(observed, 0)
    np.testing.assert_allclose(score(observed, 0.8, rate), np.log(ratio).sum(0))
    assert np.isfinite(score(observed * 1e3, 1e-9, rate)).all()


def test_the_score_beats_the_sum():
    """If a canary joins few steps, its plain sum is mostly noise from steps that it did not join."""
    generator, rate, steps = np.random.default_rng(1), 0.036, 80
    sigma = noise_multiplier(8, 1e-4, [Spending(0, rate, steps)])
    coin = np.arange(2000) % 2 == 0
    joined = (generator.random((steps, 2000)) < rate) & coin
    observed = sigma * generator.normal(size=(steps, 2000)) + joined
    right = [
        np.mean((guesses(s, 400) == np.where(coin, 1, -1))[guesses(s, 400) != 0])
        for s in (score(observed, sigma, rate), observed.sum(0))
    ]
    assert right[0] > right[1] + 0.05
