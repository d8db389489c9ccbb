"""Membership attacks, against scikit-learn and brute-force counts."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from duolearn_cli.evaluation.metrics.membership import GAP, Null, attack, attacks, matched, mia_score, roc, self_check

scores = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=12)
lengths = st.dictionaries(st.sampled_from("abcdefg"), st.integers(1, 9).map(float), max_size=5)


@settings(max_examples=20, deadline=None)
@given(scores, scores)
def test_attack_values(members, others):
    figures = attack(members, others)
    wins = [(m > o) + 0.5 * (m == o) for m in members for o in others]
    assert figures["auc"].value == pytest.approx(np.mean(wins))
    assert figures["score"].value == pytest.approx(1 - 2 * abs(np.mean(wins) - 0.5))
    assert figures["auc"].n == len(members) + len(others)


def test_blind_attack_reaches_one_and_perfect_attack_zero():
    rng = np.random.default_rng(0)
    blind = attack(rng.normal(size=80).tolist(), rng.normal(size=80).tolist())
    assert blind["auc"].low < 0.5 < blind["auc"].high
    assert blind["score"].high == 1
    perfect = attack([1.0] * 100, [0.0] * 100)
    assert perfect["score"].value == 0 and perfect["tpr_1"].value == 1
    assert mia_score(0.5) == 1


def test_a_rate_that_allows_less_than_one_non_member_is_withheld():
    """At 1 % none of 50 may pass: that would be the rate at a false-positive rate of 0, another figure."""
    for count, rates in ((50, ("tpr_1", "tpr_01")), (100, ("tpr_01",)), (999, ("tpr_01",))):
        figures = attack([98.5, 97.5], [float(i) for i in range(count)])
        for rate in rates:
            one = figures[rate].as_dict()
            assert math.isnan(one["value"]) and one["low"] is None and one["high"] is None
            assert one["reason"] == f"needs {100 if rate == 'tpr_1' else '1,000'} non-members, there are {count}"
    many = attack([98.5, 97.5], [float(i) for i in range(100)])["tpr_1"]
    assert many.value == 0.5 and "reason" not in many.as_dict()
    assert attack([1e3], [float(i) for i in range(1000)])["tpr_01"].value == 1


@pytest.mark.parametrize("area", [0.0, 1.0])
def test_separated_sides_have_an_interval(area):
    """It is Wilson's for forty trials. Resampling would find no spread at all."""
    members, others = ([1.0] * 40, [0.0] * 40) if area else ([0.0] * 40, [1.0] * 40)
    auc = attack(members, others)["auc"]
    inner = 40 / (40 + stats.norm.ppf(0.975) ** 2)
    ends = (inner, 1.0) if area else (0.0, 1 - inner)
    assert auc.value == area and (auc.low, auc.high) == pytest.approx(ends)


def test_a_separable_split_is_seen():
    """Forty pairs that are perfectly separated: no resample differs, which must not be taken for a sound split."""
    for sides in (([1.0] * 40, [0.0] * 40), ([0.0] * 40, [1.0] * 40)):
        check = self_check({"loss": sides})
        assert not check["usable"] and check["attacks"]["loss"]["seen"]
    assert self_check({"loss": ([1.0] * 6, [0.0] * 6)})["usable"] is False  # 2 of 64 swaps are as far apart


def test_with_too_few_pairs_nothing_can_be_shown():
    check = self_check({"loss": ([1.0] * 5, [0.0] * 5)})  # 2 of 32 swaps
    assert check["usable"] is None and check["detectable"] is None
    assert check["attacks"]["loss"]["p_value"] == 2 / 32 and not check["attacks"]["loss"]["seen"]


def test_the_detectable_auc_shrinks_with_the_number_of_pairs():
    rng = np.random.default_rng(0)
    detectable = [
        self_check({"loss": (rng.normal(size=n).tolist(), rng.normal(size=n).tolist())})["detectable"]
        for n in (15, 60, 450)
    ]
    assert 0.85 > detectable[0] > detectable[1] > detectable[2] > 0.53
    # For one attack it is 1.96 + 0.84 standard errors, which are close to those at 0.5.
    assert detectable[2] == pytest.approx(0.5 + 2.8 * math.sqrt(901 / (12 * 450**2)), abs=0.005)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=7))
def test_for_few_pairs_all_swaps_are_enumerated(pairs):
    members, others = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    null = Null.of({"loss": (members, others)})
    distances = []
    for swap in itertools.product((False, True), repeat=len(pairs)):
        a, b = np.where(swap, others, members), np.where(swap, members, others)
        distances.append(abs(np.mean([(x > y) + 0.5 * (x == y) for x in a for y in b]) - 0.5))
    assert sorted(null.away[:, 0]) == pytest.approx(sorted(distances))
    own = attack(members, others)["auc"].value
    share = np.mean(np.array(distances) >= abs(own - 0.5) - 1e-9)
    assert null.p_value(own) == pytest.approx(share)


def test_the_expected_score_under_the_null():
    """It is 1 - 2 sd sqrt(2 / pi), with sd the standard deviation of the Mann-Whitney statistic."""
    rng = np.random.default_rng(0)
    for pairs in (15, 60, 450):
        figures, _ = attacks({"loss": (rng.normal(size=pairs).tolist(), rng.normal(size=pairs).tolist())})
        spread = math.sqrt((2 * pairs + 1) / 12) / pairs
        assert figures["loss"]["expected"].value == pytest.approx(1 - 2 * spread * math.sqrt(2 / math.pi), abs=0.015)


def test_the_worst_attack_is_compared_with_the_worst_of_each_swap():
    """By chance the lowest of several scores is lower than a single one, and so is its expectation."""
    rng = np.random.default_rng(3)
    sides = {name: (rng.normal(size=60), rng.normal(size=60)) for name in ("loss", "zlib", "reference")}
    sides["min_k"] = (rng.normal(-1.2, size=60), rng.normal(size=60))
    figures, worst = attacks(sides)
    assert worst["attack"] == "min_k" and worst["score"].value == min(one["score"].value for one in figures.values())
    assert worst["expected"].value < min(one["expected"].value for one in figures.values())
    assert worst["p_value"] < 0.01 and worst["score"].high < worst["expected"].low
    for one in figures.values():
        assert one["auc_together"].low < one["auc"].low and one["auc"].high < one["auc_together"].high
    without = {name: pair for name, pair in sides.items() if name != "min_k"}
    assert attacks(without)[1]["p_value"] > 0.05
    assert attacks({}) == ({}, {}) and attacks({"loss": ([], [])}) == ({}, {})


def test_large_groups_do_not_take_quadratic_memory():
    rng = np.random.default_rng(0)
    figures = attack(rng.normal(size=6_000).tolist(), rng.normal(size=3_000).tolist())
    assert abs(figures["auc"].value - 0.5) < 0.02


def test_empty_group_gives_nothing():
    assert attack([], [1.0]) == {} and matched({}, {"a": 1.0}, 0) == []


def is_near(left, right):
    return abs(left - right) <= max(1.0, GAP * max(left, right))


@settings(max_examples=60, deadline=None)
@given(lengths, lengths)
def test_the_pairing_has_the_most_pairs_and_the_least_difference(members, others):
    others = {name.upper(): length for name, length in others.items()}
    pairs = matched(members, others, 0)
    assert all(is_near(members[m], others[o]) for m, o in pairs)
    assert len({m for m, _ in pairs}) == len({o for _, o in pairs}) == len(pairs)
    small, large = sorted((members, others), key=len)
    best = (0, 0.0)
    for chosen in itertools.permutations(large, len(small)):
        gaps = [abs(small[a] - large[b]) for a, b in zip(small, chosen, strict=True) if is_near(small[a], large[b])]
        best = max(best, (len(gaps), -sum(gaps)))
    assert (len(pairs), -sum(abs(members[m] - others[o]) for m, o in pairs)) == pytest.approx(best)


def test_among_equal_facts_the_seed_chooses_and_not_the_name():
    members = {f"m{i:02}": 4.0 for i in range(40)}
    chosen = [{m for m, _ in matched(members, {f"o{i}": 4.0 for i in range(10)}, seed)} for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2] and chosen[0] != set(sorted(members)[:10])


def test_the_curve_is_that_of_scikit_learn():
    curve = roc([3.0, 2.0], [1.0, 2.0])
    assert curve["fpr"][0] == 0 and curve["tpr"][-1] == 1
    assert np.trapezoid(curve["tpr"], curve["fpr"]) == pytest.approx(attack([3.0, 2.0], [1.0, 2.0])["auc"].value)


def test_a_score_that_is_not_a_number_is_an_error():
    sides = ([1.0, 2.0, math.nan], [1.5, 2.5, 3.5])
    for judge in (self_check, attacks):
        with pytest.raises(ValueError, match="zlib attack is not a number"):
            judge({"loss": ([1.0, 2.0, 3.0], [1.5, 2.5, 3.5]), "zlib": sides})


def test_figures_count_their_pairs():
    by_attack, worst = attacks({"loss": ([1.0] * 15, [0.5] * 15)})
    figures = [one for name, one in by_attack["loss"].items() if not name.startswith("tpr")]
    for one in (*figures, by_attack["loss"]["tpr_1"], worst["auc"], worst["score"], worst["expected"]):
        assert (one.n, one.facts) == (30, 15)


def test_a_split_whose_sides_differ_is_unusable():
    rng = np.random.default_rng(0)
    alike = (rng.normal(size=60).tolist(), rng.normal(size=60).tolist())
    apart = (rng.normal(2.0, size=60).tolist(), rng.normal(size=60).tolist())
    assert self_check({"loss": alike})["usable"]
    check = self_check({"loss": alike, "zlib": apart})
    assert check["usable"] is False and 0.95 < check["confidence"] <= 0.975 + 1e-9
    assert not check["attacks"]["loss"]["seen"] and check["attacks"]["zlib"]["seen"]
