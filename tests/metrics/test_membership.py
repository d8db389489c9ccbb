"""Membership attacks against scikit-learn and brute-force counts."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from duolearn_cli.metrics.membership import GAP, attack, auc, matched, mia_score, roc, self_check, tpr_at

scores = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=12)
lengths = st.dictionaries(st.sampled_from("abcdefg"), st.integers(1, 9).map(float), max_size=5)


@given(scores, scores)
def test_auc_equals_scikit_learn_with_ties(members, others):
    labels = [1] * len(members) + [0] * len(others)
    assert float(auc(np.array(members), np.array(others))) == pytest.approx(roc_auc_score(labels, members + others))


@given(scores, scores, st.sampled_from([0.001, 0.01, 0.1, 0.25, 0.5, 0.999]))
def test_true_positives_at_a_rate_are_the_best_point_of_the_roc(members, others, rate):
    fpr, tpr, _ = roc_curve([1] * len(members) + [0] * len(others), members + others, drop_intermediate=False)
    best = max(t for f, t in zip(fpr, tpr, strict=True) if f <= rate + 1e-12)
    assert float(tpr_at(np.array(members), np.array(others), rate)) == pytest.approx(best)


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
    perfect = attack([1.0] * 5, [0.0] * 5)
    assert perfect["score"].value == 0 and perfect["tpr_1"].value == perfect["tpr_01"].value == 1
    assert mia_score(0.5) == 1


def test_with_few_non_members_no_false_alarm_is_allowed():
    others = [float(i) for i in range(50)]
    assert attack([48.5, 49.5], others)["tpr_1"].value == 0.5
    many = [float(i) for i in range(100)]
    assert attack([98.5, 97.5], many)["tpr_1"].value == 0.5


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
    assert np.trapezoid(found["tpr"], found["fpr"]) == pytest.approx(
        float(auc(np.array([3.0, 2.0]), np.array([1.0, 2.0])))
    )


def test_a_split_that_differs_in_itself_is_unusable():
    rng = np.random.default_rng(0)
    alike = (rng.normal(size=60).tolist(), rng.normal(size=60).tolist())
    apart = (rng.normal(2.0, size=60).tolist(), rng.normal(size=60).tolist())
    assert self_check({"loss": alike})["usable"]
    found = self_check({"loss": alike, "zlib": apart})
    assert not found["usable"] and found["confidence"] == pytest.approx(0.975)
    assert found["attacks"]["loss"]["blind"] and not found["attacks"]["zlib"]["blind"]


def test_blind_attacks_are_seldom_accused():
    """At 95 % for all together, of 40 sound splits with five attacks each about two are called unusable."""
    rng = np.random.default_rng(1)
    verdicts = []
    for _ in range(40):
        sides = {str(k): (rng.normal(size=40).tolist(), rng.normal(size=40).tolist()) for k in range(5)}
        verdicts.append(self_check(sides)["usable"])
    assert sum(verdicts) >= 33
