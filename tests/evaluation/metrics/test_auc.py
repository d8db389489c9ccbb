"""AUCs and true-positive rates, against scikit-learn and closed forms, and where their intervals must lie."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve

from duolearn_cli.evaluation.metrics.auc import auc_and_trials, tpr_at, tpr_interval, wilson

scores = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=12)
rates = st.sampled_from([0.001, 0.01, 0.1, 0.25, 0.5, 0.999])


@given(scores, scores)
def test_auc_equals_scikit_learn_with_ties(members, others):
    labels = [1] * len(members) + [0] * len(others)
    area, _ = auc_and_trials(np.array(members), np.array(others))
    assert float(area) == pytest.approx(roc_auc_score(labels, members + others))


@given(scores, scores)
def test_an_interval_holds_its_value_and_stays_in_the_range(members, others):
    area, trials = auc_and_trials(np.array(members), np.array(others))
    low, high = wilson(area, trials)
    assert 0 <= low <= area <= high <= 1 and low < high and trials >= min(len(members), len(others))


def test_the_effective_number_of_trials_follows_delong():
    """For large samples the standard error is DeLong's, written out here over pairs."""
    rng = np.random.default_rng(0)
    members, others = rng.normal(0.5, 2.0, 300), rng.normal(size=200)
    wins = (members[:, None] > others[None, :]).astype(float)
    variance = wins.mean(1).var(ddof=1) / 300 + wins.mean(0).var(ddof=1) / 200
    area, trials = auc_and_trials(members, others)
    assert area * (1 - area) / trials == pytest.approx(variance, rel=0.02)


def test_several_samples_at_once_equal_single_ones():
    rng = np.random.default_rng(0)
    members, others = rng.normal(size=(3, 9)), rng.normal(size=(3, 7))
    together = auc_and_trials(members, others)
    for row in range(3):
        assert [one[row] for one in together] == pytest.approx(auc_and_trials(members[row], others[row]))


def test_wilson_is_that_of_scipy():
    expected = stats.binomtest(37, 40).proportion_ci(0.95, method="wilson")
    assert wilson(np.array(37 / 40), np.array(40.0)) == pytest.approx((expected.low, expected.high))


@given(scores, scores, rates)
def test_true_positives_at_a_rate_are_the_best_point_of_the_roc(members, others, rate):
    fpr, tpr, _ = roc_curve([1] * len(members) + [0] * len(others), members + others, drop_intermediate=False)
    best = max(t for f, t in zip(fpr, tpr, strict=True) if f <= rate + 1e-12)
    assert tpr_at(np.array(members), np.array(others), rate) == pytest.approx(best)


@given(scores, scores, st.sampled_from([0.1, 0.25, 0.5]))
def test_an_interval_of_true_positives_holds_its_value(members, others, rate):
    assume(rate * len(others) >= 1)
    low, high = tpr_interval(np.array(members), np.array(others), rate)
    assert 0 <= low <= tpr_at(np.array(members), np.array(others), rate) <= high <= 1


def test_a_threshold_above_all_non_members_is_possible():
    """With 100 non-members, all are below the threshold of 1 % with probability 37 %: members above prove nothing."""
    others = np.arange(100.0)
    assert tpr_interval(np.full(100, 1e3), others, 0.01) == (0.0, 1.0)
    # With 450 the probability is 1 %: the lower end is that of the members above the highest non-member.
    low, high = tpr_interval(np.full(450, 1e3), np.arange(450.0), 0.01)
    assert high == 1 and 0.98 < low < 1


def test_a_known_threshold_leaves_the_interval_of_clopper_and_pearson():
    """With so many non-members the threshold is known, and only the members are uncertain."""
    others, members = np.linspace(0, 1, 200_001), np.array([2.0] * 12 + [-1.0] * 28)
    expected = stats.binomtest(12, 40).proportion_ci(0.95, method="exact")
    assert tpr_interval(members, others, 0.1) == pytest.approx((expected.low, expected.high), abs=1e-6)
