"""Intervals in closed form against textbooks, other libraries and their own promises."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from duolearn_cli.evaluation.metrics.closed_forms import clustered_wilson, fieller, hall, paired_difference, wilson

counts = st.lists(st.integers(0, 4), min_size=5, max_size=40)


@pytest.mark.parametrize(("hits", "count"), [(5, 30), (15, 30), (40, 100), (96, 100)])
def test_wilson_is_that_of_scipy_between_the_ends(hits, count):
    ours, theirs = wilson(hits / count, count), stats.binomtest(hits, count).proportion_ci(0.95, method="wilson")
    assert ours == pytest.approx((theirs.low, theirs.high))


def test_rare_hits_have_the_lower_end_of_a_poisson():
    low, high = wilson(1 / 100, 100)
    # One hit of a Poisson with that mean is as likely as 5 %: 1 - exp(-mean) = .05.
    assert low == pytest.approx(-math.log(0.95) / 100)
    assert high == pytest.approx(stats.binomtest(1, 100).proportion_ci(0.95, method="wilson").high)
    assert wilson(0.99, 100) == pytest.approx((1 - high, 1 - low))


def test_facts_of_one_question_are_plain_trials():
    hits = np.array([1.0] * 20 + [0.0] * 15)
    assert clustered_wilson(hits, np.ones(35)) == pytest.approx(wilson(20 / 35, 35))


def test_facts_whose_questions_agree_count_once():
    hits = np.array([1.0] * 20 + [0.0] * 15)
    assert clustered_wilson(4 * hits, np.full(35, 4.0)) == pytest.approx(wilson(20 / 35, 35))


def test_questions_on_their_own_count_each():
    rng = np.random.default_rng(0)
    hits = rng.binomial(4, 0.5, 2000).astype(float)
    interval, plain = clustered_wilson(hits, np.full(2000, 4.0)), wilson(hits.mean() / 4, 8000)
    assert interval[1] - interval[0] == pytest.approx(plain[1] - plain[0], rel=0.05)


@given(counts)
def test_an_error_never_raises_the_lower_end_above_that_of_none(hits):
    sizes = np.full(len(hits), 4.0)
    low, high = clustered_wilson(np.array(hits, dtype=float), sizes)
    perfect, nothing = clustered_wilson(sizes, sizes), clustered_wilson(0 * sizes, sizes)
    assert low <= perfect[0] and high >= nothing[1]
    assert 0 <= low <= sum(hits) / sizes.sum() <= high <= 1


@given(counts)
def test_shares_turn_round(hits):
    sizes, right = np.full(len(hits), 4.0), np.array(hits, dtype=float)
    low, high = clustered_wilson(right, sizes)
    assert clustered_wilson(sizes - right, sizes) == pytest.approx((1 - high, 1 - low))


def test_fieller_holds_the_ratios_that_a_t_test_does_not_reject(monkeypatch):
    monkeypatch.setattr("duolearn_cli.evaluation.metrics.closed_forms.PSEUDO_FACTS", 0.0)
    rng = np.random.default_rng(0)
    below = rng.normal(3, 1, 40)
    above = 0.7 * below + rng.normal(0, 0.5, 40)
    interval = fieller(above, below, [(0, 0)], 1.0)
    assert interval is not None and interval[0] < above.sum() / below.sum() < interval[1]
    for ratio in interval:
        assert stats.ttest_1samp(above - ratio * below, 0).pvalue == pytest.approx(0.05)


def test_a_denominator_that_may_be_zero_has_no_bounds():
    rng = np.random.default_rng(0)
    outcomes = [(b - a, b - 0.25) for b in (0, 1) for a in (0, 1)]
    below = np.array([0.75] * 12 + [-0.25] * 28)
    assert fieller(rng.normal(0, 1, 40), below, outcomes, 1.0) is None
    assert fieller(rng.normal(0, 1, 40), np.full(40, 0.75), outcomes, 1.0) is not None


def test_no_change_in_few_facts_is_no_certainty():
    """As in the rule of three: if none of 100 facts changed, up to 3.6 % may change by Wilson's interval."""
    same, outcomes = np.ones(100), [(a, b) for b in (0, 1) for a in (0, 1)]
    interval = fieller(same, same, outcomes, 1.0)
    assert interval is not None and interval[0] < 1 - 0.02 and interval[0] > 0.95 and interval[0] < 1 < interval[1]


def test_hall_is_a_t_interval_where_nothing_is_skewed():
    values = np.concatenate([np.arange(1.0, 21), np.arange(-20.0, 0)]) + 50
    plain = stats.t.interval(0.95, 39, values.mean(), stats.sem(values))
    assert hall(values, np.ones(40)) == pytest.approx(plain)
    assert hall(np.full(40, 0.1) * 3, np.ones(40)) is None


def test_hall_undoes_its_transformation():
    values = np.random.default_rng(1).exponential(1, 50)
    interval, mean, error = hall(values, np.ones(50)), values.mean(), stats.sem(values)
    a = stats.skew(values) / 3
    for end, sign in zip(interval, (1, -1), strict=True):
        x = (mean - end) / error
        transformed = x + a * x**2 / 50**0.5 + a**2 * x**3 / (3 * 50) + a / (2 * 50**0.5)
        assert transformed == pytest.approx(sign * stats.t.ppf(0.975, 49))


def test_paired_difference_by_hand():
    low, high = paired_difference(np.array([1.0, -1, 0, 0] * 10), np.ones(40))
    spread = 20 * 40 / 39 + stats.norm.ppf(0.975) ** 2 / 2
    assert high == -low == pytest.approx(stats.t.ppf(0.975, 39) * spread**0.5 / 40)
