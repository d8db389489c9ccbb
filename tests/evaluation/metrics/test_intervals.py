"""Estimates with intervals: known values, edge cases, coverage."""

import numpy as np
import pytest

from duolearn_cli.evaluation.metrics.intervals import bootstrap, by_cluster, mean, proportion, ratio
from tests.statistics.drawing import answers, names


def test_value_is_the_plain_share_and_n_counts_items():
    estimate = proportion([1, 1, 0, 1], ["a", "a", "b", "c"])
    assert estimate.value == 0.75 and estimate.n == 4
    assert estimate.low < 0.75 < estimate.high


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_unanimous_items_still_have_an_interval(share):
    estimate = proportion([share] * 30, [str(i) for i in range(30)])
    assert estimate.value == share
    assert estimate.high - estimate.low > 0.05


def test_empty_and_single_cluster():
    assert np.isnan(proportion([], []).value)
    single = proportion([1, 0], ["a", "a"])
    assert single.value == 0.5 and single.low is None and single.high is None


def test_clusters_widen_the_interval():
    hits = [1, 1, 1, 1, 0, 0, 0, 0] * 10
    apart = proportion(hits, [str(i) for i in range(80)])
    together = proportion(hits, [str(i // 4) for i in range(80)])
    assert together.high - together.low > 1.5 * (apart.high - apart.low)


def test_coverage_of_a_proportion_is_near_95_percent():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        estimate = proportion((rng.random(60) < 0.7).astype(float).tolist(), [str(i) for i in range(60)])
        covered += estimate.low <= 0.7 <= estimate.high
    assert 0.90 <= covered / 200 <= 0.99


def test_deterministic():
    hits = [1, 0, 1, 1, 0, 1, 1, 0, 1, 1]
    facts = [str(i) for i in range(10)]
    assert proportion(hits, facts) == proportion(hits, facts)


def test_by_cluster_sums():
    assert by_cluster([1, 2, 4], ["b", "a", "b"]).tolist() == [2, 5]


def test_undefined_ratio_is_nan_without_warning():
    estimate = bootstrap([np.ones(3), np.zeros(3)], ratio, n=3)
    assert np.isnan(estimate.value) and estimate.low is None


def test_one_error_does_not_raise_the_lower_end():
    """Earlier, all right had Wilson's interval and one error the bootstrap's, which was narrower."""
    facts = [str(k) for k in range(30)]
    lows = [proportion([0.0] * errors + [1.0] * (30 - errors), facts).low for errors in range(4)]
    assert lows == sorted(lows, reverse=True)


def test_near_one_a_share_of_few_facts_is_covered():
    """30 facts of four questions at 0.95: the bootstrap, used earlier, covered 90.7 % of these draws."""
    rng, owners = np.random.default_rng(0), names(30, 4)
    drawn = [proportion(answers(rng, 0.95, 0.3, 30, 4).tolist(), owners) for _ in range(300)]
    assert sum(one.low <= 0.95 <= one.high for one in drawn) >= 0.93 * 300


def test_estimates_count_their_facts():
    assert proportion([1, 1, 0, 1], ["a", "a", "b", "c"]).facts == 3
    assert mean([1.0, 2.0, 3.0], ["a", "a", "b"]).facts == 2


def test_a_mean_is_the_ratio_of_its_sums():
    estimate = mean([2.0, 4.0, 9.0], ["a", "b", "c"], [1.0, 2.0, 2.0])
    assert estimate.value == pytest.approx(3.0) and estimate.low < 3 < estimate.high
    assert mean([1.0, 1.0, 1.0], ["a", "b", "c"]).low is None and np.isnan(mean([], []).value)
    assert mean([0.9, 1.0, 1.0, 1.0], ["a", "b", "c", "d"], most=1.0).high == 1.0
