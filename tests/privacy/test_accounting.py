"""Epsilon and noise against published and closed-form values, and against another library."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import binom, norm

from duolearn_cli.privacy.accounting import MAX_GROUP, TOLERANCE, Spending, epsilon, noise_multiplier


def gaussian_delta(eps, mu):
    """The delta of a Gaussian mechanism of sensitivity over noise `mu` (Balle and Wang 2018, theorem 8)."""
    return norm.cdf(mu / 2 - eps / mu) - math.exp(eps) * norm.cdf(-mu / 2 - eps / mu)


@pytest.mark.parametrize(("sigma", "steps"), [(2.0, 1), (5.0, 10), (20.0, 400)])
def test_full_batches_have_a_closed_form(sigma, steps):
    delta, mu = 1e-5, math.sqrt(steps) / sigma
    exact = brentq(lambda eps: gaussian_delta(eps, mu) - delta, 0, 100)
    for sampling in ("poisson", "shuffled"):
        assert epsilon([Spending(sigma, 1.0, steps, sampling)], delta) == pytest.approx(exact, rel=3e-3)


@pytest.mark.parametrize(
    ("spending", "published"),
    [
        # Abadi et al. 2016, section 3.2: moments accountant.
        (Spending(4.0, 0.01, 10_000), 1.26),
        # TensorFlow Privacy's MNIST tutorial, with the RDP conversion of its time.
        (Spending(1.1, 256 / 60_000, round(60 * 60_000 / 256)), 2.92),
    ],
)
def test_published_bounds(spending, published):
    """Later conversions from RDP improve on both by 10 to 25 per cent, and PLD improves on those."""
    tight, looser = epsilon([spending], 1e-5, "pld"), epsilon([spending], 1e-5, "rdp")
    assert 0.7 * published < tight < looser < published < 1.35 * looser


@pytest.mark.parametrize(("accountant", "expected"), [("pld", 1.046), ("rdp", 1.401)])
def test_values_that_two_libraries_agreed_on(accountant, expected):
    assert epsilon([Spending(1.0, 0.008, 500)], 1e-5, accountant) == pytest.approx(expected, rel=5e-3)


def test_opacus_agrees():
    analysis = pytest.importorskip("opacus.accountants", reason="Opacus is a development tool")
    other = analysis.PRVAccountant()
    other.history = [(0.9, 0.05, 100)]
    assert epsilon([Spending(0.9, 0.05, 100)], 1e-5) == pytest.approx(other.get_epsilon(1e-5), rel=0.02)


def test_a_group_that_always_joins_moves_the_sum_by_as_many_norms():
    """At rate 1, and with shuffled passes, k units act as one unit of k times the norm: sigma / k."""
    for sampling in ("poisson", "shuffled"):
        together = Spending(6.0, 1.0, 5, sampling, 3)
        alone = Spending(2.0, 1.0, 5, sampling)
        assert epsilon([together], 1e-5) == pytest.approx(epsilon([alone], 1e-5), rel=2e-3)


def test_a_group_of_one_step_has_the_divergence_of_its_mixture():
    """Compare with numerical integration of max(0, P - e^eps Q): P is the mixture with the group, Q without it."""
    sigma, rate, group, x = 1.1, 0.2, 3, np.linspace(-12, 18, 20_001)
    with_group = sum(binom.pmf(k, group, rate) * norm.pdf(x, k, sigma) for k in range(group + 1))
    without = norm.pdf(x, 0, sigma)

    def delta(eps):
        return max(
            np.trapezoid(np.maximum(0, p - math.exp(eps) * q), x)
            for p, q in ((with_group, without), (without, with_group))
        )

    exact = brentq(lambda eps: delta(eps) - 1e-4, 0, 50)
    assert epsilon([Spending(sigma, rate, 1, group=group)], 1e-4) == pytest.approx(exact, rel=5e-3)


def test_two_phrasings_of_a_fact_spend_more_than_twice_what_an_item_does():
    """The retain set of minimed, surgery: 900 items, 80 steps of 32, the noise for epsilon 1."""
    spending = Spending(1.347, 32 / 900, 80)
    assert epsilon([spending], 1 / 9000) == pytest.approx(1.0, abs=0.005)
    two = epsilon([replace(spending, group=2)], 1 / 9000)
    assert two == pytest.approx(2.22, abs=0.01)
    assert epsilon([replace(spending, group=2)], 1 / 9000, "rdp") == two
    assert epsilon([replace(spending, group=MAX_GROUP + 1)], 1 / 9000) == math.inf


def test_the_noise_is_too_large_by_a_thousandth_at_most():
    """For few steps at a small rate RDP needs an eighth more noise than PLD: a tolerance relative to it is too wide."""
    planned, delta = Spending(0.0, 32 / 900, 80), 1 / 9000
    sigma = noise_multiplier(8, delta, [planned])
    assert epsilon([replace(planned, noise_multiplier=sigma)], delta) <= 8
    assert epsilon([replace(planned, noise_multiplier=sigma / (1 + TOLERANCE))], delta) > 8


def test_shuffled_epochs_gain_nothing_from_sampling():
    """Four passes are four Gaussian mechanisms, however many steps they take."""
    passes = [epsilon([Spending(1.0, 1 / parts, 4 * parts, "shuffled")], 1e-5) for parts in (1, 3, 125)]
    assert passes == pytest.approx([passes[0]] * 3)
    assert passes[0] > 5 * epsilon([Spending(1.0, 1 / 125, 500)], 1e-5)
    # A pass counts in full once it has begun.
    assert epsilon([Spending(1.0, 1 / 3, 4, "shuffled")], 1e-5) == epsilon([Spending(1.0, 1 / 3, 6, "shuffled")], 1e-5)


SPENDINGS = st.builds(
    Spending,
    noise_multiplier=st.floats(0.6, 5),
    rate=st.floats(0.01, 1),
    steps=st.integers(1, 200),
    sampling=st.sampled_from(["poisson", "shuffled"]),
)


@settings(max_examples=10)
@given(spending=SPENDINGS, other=SPENDINGS)
def test_epsilon_is_monotone(spending, other):
    delta = 1e-5
    value = epsilon([spending], delta)
    slack = 1e-3 * (1 + value)
    assert epsilon([replace(spending, steps=spending.steps + 10)], delta) >= value - slack
    assert epsilon([replace(spending, noise_multiplier=1.5 * spending.noise_multiplier)], delta) <= value + slack
    assert epsilon([spending], delta / 10) >= value - slack
    together = epsilon([spending, other], delta)
    assert together >= max(value, epsilon([other], delta)) - slack
    assert together == pytest.approx(epsilon([other, spending], delta), rel=1e-3, abs=1e-3)


def test_splitting_a_run_changes_nothing():
    """Composition is over steps: a run that is stopped and resumed spends as much as an unbroken one."""
    whole = epsilon([Spending(1.0, 0.1, 80)], 1e-4)
    assert epsilon([Spending(1.0, 0.1, 37), Spending(1.0, 0.1, 43)], 1e-4) == pytest.approx(whole, rel=1e-4)


def test_nothing_spent_and_no_noise():
    assert epsilon([], 1e-5) == epsilon([Spending(1.0, 0.1, 0)], 1e-5) == 0
    assert epsilon([Spending(0.0, 0.1, 1)], 1e-5) == math.inf


@pytest.mark.parametrize("accountant", ["pld", "rdp"])
@pytest.mark.parametrize("target", [0.5, 1.0, 4.0, 8.0])
def test_solved_noise_is_enough_and_hardly_more(accountant, target):
    planned = [Spending(0.0, 0.1, 80)]
    sigma = noise_multiplier(target, 1e-4, planned, accountant)
    assert epsilon([replace(planned[0], noise_multiplier=sigma)], 1e-4, accountant) <= target
    assert epsilon([replace(planned[0], noise_multiplier=0.99 * sigma)], 1e-4, accountant) > target


def test_a_unit_in_both_sets_pays_for_both():
    """Sampled together, it would face noise of 1 / sqrt(1 / s^2 + 1 / s^2); sampled independently, it pays less."""
    one = Spending(1.0, 0.1, 80)
    both = epsilon([one, one], 1e-4)
    assert epsilon([one], 1e-4) < both < epsilon([replace(one, noise_multiplier=math.sqrt(0.5))], 1e-4)
    sigma = noise_multiplier(2.0, 1e-4, [one, one])
    assert epsilon([replace(one, noise_multiplier=sigma)] * 2, 1e-4) <= 2.0


def test_an_event_is_of_single_units():
    with pytest.raises(ValueError, match="groups of 2"):
        Spending(1.0, 0.1, 10, group=2).event()
