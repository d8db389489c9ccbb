"""The loss attack against scikit-learn and a brute-force count."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from duolearn_cli.metrics.membership import auc, loss_attack, mia_score

losses = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=12)


@given(losses, losses)
def test_auc_equals_scikit_learn_with_ties(members, others):
    labels = [1] * len(members) + [0] * len(others)
    ours = float(auc(-np.array(members), -np.array(others)))
    assert ours == pytest.approx(roc_auc_score(labels, -np.array(members + others)))


@settings(max_examples=20, deadline=None)
@given(losses, losses)
def test_attack_values(members, others):
    found = loss_attack(members, others)
    wins = [(m < o) + 0.5 * (m == o) for m in members for o in others]
    assert found["mia_auc"].value == pytest.approx(np.mean(wins))
    assert found["mia_score"].value == pytest.approx(1 - 2 * abs(np.mean(wins) - 0.5))
    assert found["mia_auc"].n == len(members) + len(others)


def test_blind_attack_reaches_one_and_perfect_attack_zero():
    rng = np.random.default_rng(0)
    blind = loss_attack(rng.normal(size=80).tolist(), rng.normal(size=80).tolist())
    assert blind["mia_auc"].low < 0.5 < blind["mia_auc"].high
    assert blind["mia_score"].high == 1
    assert loss_attack([0.0] * 5, [1.0] * 5)["mia_score"].value == 0
    assert mia_score(0.5) == 1


def test_large_groups_cost_no_square():
    rng = np.random.default_rng(0)
    found = loss_attack(rng.normal(size=6_000).tolist(), rng.normal(size=3_000).tolist())
    assert abs(found["mia_auc"].value - 0.5) < 0.02


def test_empty_group_gives_nothing():
    assert loss_attack([], [1.0]) == {}
