"""The interval of a distance holds its value, and the true one about as often as it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.evaluation.metrics.calibration import as_shares, expected_calibration_error, position_bias

answered = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=20)


@given(answered)
def test_the_interval_of_the_position_bias_holds_its_value(rows):
    said, right = zip(*rows, strict=True)
    found = position_bias(as_shares(said), right, [str(k) for k in range(len(rows))])
    assert found.low is None or found.low <= found.value <= found.high


def test_a_small_bias_lies_in_its_interval():
    """Each place is answered about as often as it is right, on other items: percentiles lay above the value."""
    rng = np.random.default_rng(0)
    right = rng.permutation(np.arange(600) % 4)
    said = rng.permutation(right)
    said[0] = (said[0] + 1) % 4
    found = position_bias(as_shares(said.tolist()), right.tolist(), [str(k) for k in range(600)])
    assert found.value == pytest.approx(1 / 600) and found.low == 0 and 0.03 < found.high < 0.12


def test_the_interval_of_the_calibration_error_holds_its_value():
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.25, 1.0, 400)
    hits = (rng.random(400) < sure).astype(float)
    found = expected_calibration_error(sure.tolist(), hits.tolist(), [str(k) for k in range(400)])
    assert found.low is not None and found.low <= found.value <= found.high


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_the_true_bias_is_covered(share):
    rng, covered = np.random.default_rng(1), 0
    for _ in range(40):
        right = rng.integers(0, 4, 200)
        said = np.where(rng.random(200) < share, 0, rng.integers(0, 4, 200))
        found = position_bias(as_shares(said.tolist()), right.tolist(), [str(k) for k in range(200)])
        assert found.low is not None and found.high is not None
        covered += found.low <= share * 3 / 4 <= found.high
    assert covered >= 37
