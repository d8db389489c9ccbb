"""Membership attacks against scikit-learn and brute-force counts."""

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
    found = attack(members, others)
    wins = [(m > o) + 0.5 * (m == o) for m in members for o in others]
    assert found["auc"].value == pytest.approx(np.mean(wins))
    assert found["score"].value == pytest.approx(1 - 2 * abs(np.mean(wins) - 0.5))
    assert found["auc"].n == len(members) + len(others)


def test_blind_attack_reaches_one_and_perfect_attack_zero():
    rng = np.random.default_rng(0)
    blind = attack(rng.normal(size=80).tolist(), rng.normal(size=80).tolist())
    assert blind["auc"].low < 0.5 < blind["auc"].high
    assert blind["score"].high == 1
    perfect = attack([1.0] * 100, [0.0] * 100)
    assert perfect["score"].value == 0 and perfect["tpr_1"].value == 1
    assert mia_score(0.5) == 1


def test_a_rate_that_allows_less_than_one_non_member_is_withheld():
    """At 1 % of 50 none may pass: that would be the rate at 0, which says something else."""
    for count, rates in ((50, ("tpr_1", "tpr_01")), (100, ("tpr_01",)), (999, ("tpr_01",))):
        found = attack([98.5, 97.5], [float(i) for i in range(count)])
        for rate in rates:
            one = found[rate].as_dict()
            assert math.isnan(one["value"]) and one["low"] is None and one["high"] is None
            assert one["reason"] == f"needs {100 if rate == 'tpr_1' else '1,000'} non-members, there are {count}"
    many = attack([98.5, 97.5], [float(i) for i in range(100)])["tpr_1"]
    assert many.value == 0.5 and "reason" not in many.as_dict()
    assert attack([1e3], [float(i) for i in range(1000)])["tpr_01"].value == 1


@pytest.mark.parametrize("area", [0.0, 1.0])
def test_separated_sides_have_an_interval(area):
    """Wilson's of forty trials: resampling would have found no spread at all."""
    members, others = ([1.0] * 40, [0.0] * 40) if area else ([0.0] * 40, [1.0] * 40)
    found = attack(members, others)["auc"]
    inner = 40 / (40 + stats.norm.ppf(0.975) ** 2)
    ends = (inner, 1.0) if area else (0.0, 1 - inner)
    assert found.value == area and (found.low, found.high) == pytest.approx(ends)


def test_a_separable_split_is_seen():
    """Forty against forty whose scores all tell them apart: no resample would differ, which must not pass for sound."""
    for sides in (([1.0] * 40, [0.0] * 40), ([0.0] * 40, [1.0] * 40)):
        found = self_check({"loss": sides})
        assert not found["usable"] and found["attacks"]["loss"]["seen"]
    assert self_check({"loss": ([1.0] * 6, [0.0] * 6)})["usable"] is False  # 2 of 64 swaps are as far apart


def test_pairs_too_few_to_show_anything_prove_nothing():
    found = self_check({"loss": ([1.0] * 5, [0.0] * 5)})  # 2 of 32
    assert found["usable"] is None and found["detectable"] is None
    assert found["attacks"]["loss"]["p_value"] == 2 / 32 and not found["attacks"]["loss"]["seen"]


def test_what_could_have_been_seen_shrinks_with_the_pairs():
    rng = np.random.default_rng(0)
    told = [
        self_check({"loss": (rng.normal(size=n).tolist(), rng.normal(size=n).tolist())})["detectable"]
        for n in (15, 60, 450)
    ]
    assert 0.85 > told[0] > told[1] > told[2] > 0.53
    # Of one attack: 1.96 + 0.84 standard errors, which are near those at 0.5.
    assert told[2] == pytest.approx(0.5 + 2.8 * math.sqrt(901 / (12 * 450**2)), abs=0.005)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=7))
def test_swaps_of_few_pairs_are_all_of_them(pairs):
    members, others = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    null = Null.of({"loss": (members, others)})
    found = []
    for swap in itertools.product((False, True), repeat=len(pairs)):
        a, b = np.where(swap, others, members), np.where(swap, members, others)
        found.append(abs(np.mean([(x > y) + 0.5 * (x == y) for x in a for y in b]) - 0.5))
    assert sorted(null.away[:, 0]) == pytest.approx(sorted(found))
    own = attack(members, others)["auc"].value
    share = np.mean(np.array(found) >= abs(own - 0.5) - 1e-9)
    assert null.p_value(own) == pytest.approx(share)


def test_what_a_score_is_if_nothing_differs():
    """The expectation for so many pairs: 1 - 2 sd sqrt(2 / pi), sd that of the Mann-Whitney statistic."""
    rng = np.random.default_rng(0)
    for pairs in (15, 60, 450):
        found, _ = attacks({"loss": (rng.normal(size=pairs).tolist(), rng.normal(size=pairs).tolist())})
        spread = math.sqrt((2 * pairs + 1) / 12) / pairs
        assert found["loss"]["expected"].value == pytest.approx(1 - 2 * spread * math.sqrt(2 / math.pi), abs=0.015)


def test_the_worst_attack_has_a_null_of_its_own():
    """The least of several scores is lower by chance than one: it is told with what the least of them would be."""
    rng = np.random.default_rng(3)
    sides = {name: (rng.normal(size=60), rng.normal(size=60)) for name in ("loss", "zlib", "reference")}
    sides["min_k"] = (rng.normal(-1.2, size=60), rng.normal(size=60))
    found, worst = attacks(sides)
    assert worst["attack"] == "min_k" and worst["score"].value == min(one["score"].value for one in found.values())
    assert worst["expected"].value < min(one["expected"].value for one in found.values())
    assert worst["p_value"] < 0.01 and worst["score"].high < worst["expected"].low
    for one in found.values():
        assert one["auc_together"].low < one["auc"].low and one["auc"].high < one["auc_together"].high
    without = {name: pair for name, pair in sides.items() if name != "min_k"}
    assert attacks(without)[1]["p_value"] > 0.05
    assert attacks({}) == ({}, {}) and attacks({"loss": ([], [])}) == ({}, {})


def test_large_groups_cost_no_square():
    rng = np.random.default_rng(0)
    found = attack(rng.normal(size=6_000).tolist(), rng.normal(size=3_000).tolist())
    assert abs(found["auc"].value - 0.5) < 0.02


def test_empty_group_gives_nothing():
    assert attack([], [1.0]) == {} and matched({}, {"a": 1.0}, 0) == []


def is_near(left, right):
    return abs(left - right) <= max(1.0, GAP * max(left, right))


@settings(max_examples=60, deadline=None)
@given(lengths, lengths)
def test_pairs_are_as_many_and_as_equal_as_can_be(members, others):
    others = {name.upper(): length for name, length in others.items()}
    found = matched(members, others, 0)
    assert all(is_near(members[m], others[o]) for m, o in found)
    assert len({m for m, _ in found}) == len({o for _, o in found}) == len(found)
    small, large = sorted((members, others), key=len)
    best = (0, 0.0)
    for chosen in itertools.permutations(large, len(small)):
        gaps = [abs(small[a] - large[b]) for a, b in zip(small, chosen, strict=True) if is_near(small[a], large[b])]
        best = max(best, (len(gaps), -sum(gaps)))
    assert (len(found), -sum(abs(members[m] - others[o]) for m, o in found)) == pytest.approx(best)


def test_of_equal_facts_the_seed_chooses_not_the_name():
    members = {f"m{i:02}": 4.0 for i in range(40)}
    chosen = [{m for m, _ in matched(members, {f"o{i}": 4.0 for i in range(10)}, seed)} for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2] and chosen[0] != set(sorted(members)[:10])


def test_the_curve_is_that_of_scikit_learn():
    found = roc([3.0, 2.0], [1.0, 2.0])
    assert found["fpr"][0] == 0 and found["tpr"][-1] == 1
    assert np.trapezoid(found["tpr"], found["fpr"]) == pytest.approx(attack([3.0, 2.0], [1.0, 2.0])["auc"].value)


def test_what_is_not_a_number_has_no_rank():
    sides = ([1.0, 2.0, math.nan], [1.5, 2.5, 3.5])
    for judge in (self_check, attacks):
        with pytest.raises(ValueError, match="zlib attack is not a number"):
            judge({"loss": ([1.0, 2.0, 3.0], [1.5, 2.5, 3.5]), "zlib": sides})


def test_figures_tell_their_pairs():
    by_attack, worst = attacks({"loss": ([1.0] * 15, [0.5] * 15)})
    figures = [one for name, one in by_attack["loss"].items() if not name.startswith("tpr")]
    for one in (*figures, by_attack["loss"]["tpr_1"], worst["auc"], worst["score"], worst["expected"]):
        assert (one.n, one.facts) == (30, 15)


def test_a_split_that_differs_in_itself_is_unusable():
    rng = np.random.default_rng(0)
    alike = (rng.normal(size=60).tolist(), rng.normal(size=60).tolist())
    apart = (rng.normal(2.0, size=60).tolist(), rng.normal(size=60).tolist())
    assert self_check({"loss": alike})["usable"]
    found = self_check({"loss": alike, "zlib": apart})
    assert found["usable"] is False and 0.95 < found["confidence"] <= 0.975 + 1e-9
    assert not found["attacks"]["loss"]["seen"] and found["attacks"]["zlib"]["seen"]
