"""Distance to gold against plain loops."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duolearn_cli.metrics.gold import distance

rows = st.lists(
    st.tuples(st.integers(0, 5).map(float), st.integers(0, 5).map(float), st.integers(0, 3), st.integers(0, 3)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(rows)
def test_against_the_definitions(found):
    ours, gold, said, gold_said = map(list, zip(*found, strict=True))
    got = distance(ours, gold, said, gold_said, [str(i // 2) for i in range(len(found))])
    grid = {*ours, *gold}
    share = [abs(sum(x <= t for x in ours) - sum(x <= t for x in gold)) / len(ours) for t in grid]
    assert got["ks"] == pytest.approx(max(share))
    assert got["nll_distance"].value == pytest.approx(
        sum(abs(a - b) for a, b in zip(ours, gold, strict=True)) / len(ours)
    )
    assert got["agreement"].value == pytest.approx(
        sum(a == b for a, b in zip(said, gold_said, strict=True)) / len(said)
    )
    assert got["agreement"].n == len(found)


def test_a_model_is_at_no_distance_from_itself():
    got = distance([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [0, 1, 2], [0, 1, 2], ["a", "b", "c"])
    assert got["ks"] == 0 and got["ks_p_value"] == 1 and got["nll_distance"].value == 0
    assert got["agreement"].value == 1 and got["agreement"].low < 1
    assert distance([], [], [], [], []) == {}
