"""Calibration and position bias, against plain loops and at the edges of the formulas."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duolearn_cli.evaluation.metrics.calibration import (
    as_shares,
    expected_calibration_error,
    favourite_place,
    normalised_entropy,
    position_bias,
    position_shares,
)

answered = st.lists(st.tuples(st.floats(0.01, 1.0), st.booleans()), min_size=1, max_size=30)


@settings(max_examples=25, deadline=None)
@given(answered)
def test_ece_is_the_weighted_gap_of_the_bins(rows):
    total = 0.0
    for b in range(10):
        inside = [(c, h) for c, h in rows if b / 10 < c <= (b + 1) / 10]
        if inside:
            accuracy = sum(h for _, h in inside) / len(inside)
            confidence = sum(c for c, _ in inside) / len(inside)
            total += len(inside) / len(rows) * abs(accuracy - confidence)
    estimate = expected_calibration_error(
        [c for c, _ in rows], [float(h) for _, h in rows], [str(i) for i in range(len(rows))]
    )
    assert estimate.value == pytest.approx(total, abs=1e-9) and estimate.n == len(rows)


def test_a_calibrated_and_an_overconfident_model():
    facts = [str(i) for i in range(100)]
    hits = [1.0] * 75 + [0.0] * 25
    assert expected_calibration_error([0.75] * 100, hits, facts).value == pytest.approx(0)
    assert expected_calibration_error([1.0] * 100, hits, facts).value == pytest.approx(0.25)
    # A confidence of 0 lies in the first bin.
    assert expected_calibration_error([0.0], [1.0], ["a"]).value == 1


def test_entropy():
    facts = ["a", "b"]
    assert normalised_entropy([[0.25] * 4] * 2, facts).value == pytest.approx(1)
    assert normalised_entropy([[1.0, 0.0]] * 2, facts).value == 0
    half = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1)) / math.log(2)
    assert normalised_entropy([[0.9, 0.1], [0.5, 0.5]], facts).value == pytest.approx((half + 1) / 2)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=20))
def test_position_bias_is_total_variation(rows):
    chosen, right = zip(*rows, strict=True)
    shares = [abs(chosen.count(k) - right.count(k)) / len(rows) for k in range(4)]
    bias = position_bias(as_shares(chosen), right, [str(i) for i in range(len(rows))])
    assert bias.value == pytest.approx(sum(shares) / 2)
    assert sum(position_shares(as_shares(chosen))) == pytest.approx(1)
    assert position_shares(as_shares(chosen))[chosen[0]] == pytest.approx(chosen.count(chosen[0]) / len(rows))


def test_always_choosing_the_first_position():
    assert position_bias(as_shares([0] * 4), [0, 1, 2, 3], list("abcd")).value == pytest.approx(0.75)
    assert position_shares(as_shares([0, 0])) == [1.0] and position_shares([]) == []


def test_equal_scores_choose_no_position():
    """A model that scores all options equally has no favourite, whatever the order of the options."""
    assert position_shares([[0.25] * 4] * 3) == [0.25] * 4
    assert position_bias([[0.25] * 4] * 4, [0, 1, 2, 3], list("abcd")).value == 0


def test_the_favourite_place_is_the_largest_surplus():
    chosen, right = as_shares([1] * 79 + [0] * 21), [0, 1, 2, 3] * 25
    favourite = favourite_place(chosen, right, [str(k) for k in range(100)])
    assert favourite.value == pytest.approx(0.54) and 0.3 < favourite.low < favourite.value < favourite.high
    even = favourite_place(as_shares(right), right, [str(k) for k in range(100)])
    assert even.value == 0 and even.low < 0 < even.high
    # The same share over fewer facts is less certain.
    few = favourite_place(chosen, right, [str(k // 10) for k in range(100)])
    assert few.high - few.low > favourite.high - favourite.low
