"""Ratios relative to chance are undefined, not huge, if nothing was known above chance."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.evaluation.metrics import hmta, knowledge
from duolearn_cli.evaluation.metrics.chance import above_chance, common_unit
from duolearn_cli.report.answers import Answers, sums_by_fact
from tests.formulas import parts, ratio


@pytest.mark.parametrize("options", [2, 3, 5, 6, 7, 10, 13])
def test_a_target_at_chance_has_no_forgetting(options):
    """One of k answers is right: the sum of b - 1/k is zero, and in floating point 1e-16 for most k."""
    before, facts = [1.0] + [0.0] * (options - 1), ["a"] * options
    for copies in (1, 40):
        hits, names = before * copies, [f"{fact}{k}" for k in range(copies) for fact in facts]
        forgetting = ratio("chance_corrected_forgetting", hits, [0.0] * len(hits), names, [1 / options] * len(hits))
        assert math.isnan(forgetting.value) and forgetting.low is None and forgetting.high is None


def test_a_target_just_above_chance_has_no_huge_interval():
    """With three options, resamples of such a target would be at chance exactly."""
    before = [1.0, 0.0, 0.0] * 13 + [1.0]
    forgetting = ratio("chance_corrected_forgetting", before, [0.0] * 40, [str(k) for k in range(40)], [1 / 3] * 40)
    assert forgetting.value == pytest.approx(14 / (14 - 40 / 3))
    assert forgetting.high is None or forgetting.high < 1e6


def test_levels_at_chance_have_no_forgetting():
    items = [hmta.Scored(f"f{k // 3}", 3, True, float(k % 3 == 0), 0.0, 1 / 3) for k in range(90)]
    assert math.isnan(hmta.by_level(items)[3]["forgetting"].value)


def test_means_over_seeds_at_chance_have_no_forgetting():
    item = {"split": "forget_train", "scores": [0.0] * 3}
    rows = [
        item | {"id": str(k), "fact": str(k // 3), "model": model, "correct": float(k % 3 == 0 and model == "target")}
        for k in range(30)
        for model in ("target", "unlearned")
    ]
    sums = sums_by_fact([Answers.of(rows)] * 3, parts("chance_corrected_forgetting"))
    assert (sums[..., 1].sum(1) == 0).all()


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(2, 6)), min_size=1, max_size=40))
def test_the_value_is_that_of_fractions(rows):
    before, after, options = zip(*rows, strict=True)
    forgetting = ratio(
        "chance_corrected_forgetting",
        [float(b) for b in before],
        [float(a) for a in after],
        [str(k) for k in range(len(rows))],
        [1 / k for k in options],
    )
    # In sixtieths, which represent halves to sixths exactly.
    room = sum(60 * b - 60 // k for b, k in zip(before, options, strict=True))
    drop = sum(60 * (b - a) for b, a in zip(before, after, strict=True))
    assert forgetting.value == pytest.approx(drop / room) if room else math.isnan(forgetting.value)


def test_units():
    assert common_unit([1 / 3, 1 / 4, 1 / 4]) == 12 and common_unit([]) == 1 and common_unit([0.55]) == 20
    assert above_chance(1.0, 1 / 3, 12) == 8 and above_chance(0.0, 0.55, 20) == -11


def test_the_commonest_answer():
    answers = ["yes"] * 55 + ["no"] * 34 + ["maybe"] * 11
    answer, share, above = knowledge.commonest(answers, [str(k) for k in range(100)], 1 / 3)
    assert (answer, share.value, above) == ("yes", pytest.approx(0.55), True)
    even = [str(k % 4) for k in range(100)]
    assert not knowledge.commonest(even, [str(k) for k in range(100)], 1 / 4)[2]
    # The phrasings of one fact are one observation.
    assert not knowledge.commonest(["a"] * 40 + ["b"] * 40, ["x"] * 40 + ["y"] * 40, 1 / 3)[2]
