"""The interval of a distance holds the estimate always, and the truth about as often as it claims."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.evaluation.metrics.calibration import as_shares, expected_calibration_error, position_bias

answered = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=20)


@given(answered)
def test_the_interval_of_the_position_bias_holds_its_value(rows):
    chosen, right = zip(*rows, strict=True)
    estimate = position_bias(as_shares(chosen), right, [str(k) for k in range(len(rows))])
    assert estimate.low is None or estimate.low <= estimate.value <= estimate.high


def test_a_small_bias_lies_in_its_interval():
    """Each position is chosen about as often as it is right, on other items: percentiles would lie above the value."""
    rng = np.random.default_rng(0)
    right = rng.permutation(np.arange(600) % 4)
    chosen = rng.permutation(right)
    chosen[0] = (chosen[0] + 1) % 4
    estimate = position_bias(as_shares(chosen.tolist()), right.tolist(), [str(k) for k in range(600)])
    assert estimate.value == pytest.approx(1 / 600) and estimate.low == 0 and 0.03 < estimate.high < 0.12


def test_the_interval_of_the_calibration_error_holds_its_value():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.25, 1.0, 400)
    hits = (rng.random(400) < confidence).astype(float)
    estimate = expected_calibration_error(confidence.tolist(), hits.tolist(), [str(k) for k in range(400)])
    assert estimate.low is not None and estimate.low <= estimate.value <= estimate.high


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_the_true_bias_is_covered(share):
    rng, covered = np.random.default_rng(1), 0
    for _ in range(40):
        right = rng.integers(0, 4, 200)
        chosen = np.where(rng.random(200) < share, 0, rng.integers(0, 4, 200))
        estimate = position_bias(as_shares(chosen.tolist()), right.tolist(), [str(k) for k in range(200)])
        assert estimate.low is not None and estimate.high is not None
        covered += estimate.low <= share * 3 / 4 <= estimate.high
    assert covered >= 37
