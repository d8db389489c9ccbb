"""The stated criterion, and what is chosen by it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.benchmarks.methods.choice import Worth, chosen, worth


def metrics(forgetting, keeping, apart=None, against=None):
    def entry(distance):
        return {"forget": {"nll_distance": {"value": distance}}} if apart is not None else {}

    scores = {"chance_corrected_forgetting": {"value": forgetting}, "knowledge_preservation": {"value": keeping}}
    if against is not None:
        scores["forgetting_against_gold"] = {"value": against}
    return {
        "models": {"unlearned": {"scores": scores, "gold": entry(apart)}, "target": {"scores": {}, "gold": entry(2.0)}}
    }


@pytest.mark.parametrize(
    ("parts", "distance"),
    [
        ((1.0, 1.0, 0.0, 1.0), 0.0),
        ((1.0, 1.2, 0.0, 1.0), 0.0),  # keeping more than all costs nothing
        ((0.9, 1.0, 0.0, 1.2), math.sqrt(0.2**2 / 3)),  # gold counts, not chance
        ((1.4, 1.0, 0.0), math.sqrt(0.4**2 / 3)),  # too much counts as too little
        ((0.6, 1.0, 0.0), math.sqrt(0.4**2 / 3)),
        ((1.0, 0.7, 2.0), math.sqrt((0.3**2 + 1) / 3)),  # losses as far from gold's as the target's
        ((1.0, 1.0, 6.0), math.sqrt(2**2 / 3)),
        ((0.9, 0.6), math.sqrt((0.1**2 + 0.4**2) / 2)),  # without gold
    ],
)
def test_distance(parts, distance):
    assert worth(metrics(*parts)).distance == pytest.approx(distance)


@pytest.mark.parametrize("parts", [(None, 1.0, 0.0), (1.0, None, 0.0)])
def test_what_is_undefined_is_worth_nothing(parts):
    assert worth(metrics(*parts)) is None


@given(st.floats(0.1, 50), st.floats(1.01, 3))
def test_it_never_saturates(apart, more):
    """By the harmonic mean with 1 - KS all tries whose losses do not overlap gold's were worth 0, and the first won."""
    near, far = (worth(metrics(1.1, 0.3, value)) for value in (apart, more * apart))
    assert near.distance < far.distance and chosen([far, near]) == 1


def test_of_two_that_break_the_model_the_one_that_breaks_it_less():
    """gru's tries of docs/history/benchmark.md, at the same losses: both were worth 0.000."""
    assert chosen([worth(metrics(1.149, 0.298, 9.0)), worth(metrics(1.088, 0.444, 9.0))]) == 1


def tried(distance, keeping=1.0):
    return Worth(1.0, keeping, distance)


@pytest.mark.parametrize(
    ("tries", "place"),
    [
        ([tried(0.2), tried(0.1), tried(0.3)], 1),
        ([None, tried(0.1)], 1),
        ([tried(0.5), tried(0.5)], 0),
        ([tried(0.5, 0.9), tried(0.5, 0.95), tried(0.5 + 1e-12, 0.97)], 2),
        ([None, None], None),
    ],
)
def test_chosen(tries, place):
    assert chosen(tries) == place
