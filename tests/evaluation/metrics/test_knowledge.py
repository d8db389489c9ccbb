"""Forgetting and preservation, against values computed by hand."""

import math

import pytest

from duolearn_cli.evaluation.measures import MEASURES
from tests.formulas import ratio, share

FACTS = [str(i) for i in range(8)]
BEFORE = [1, 1, 1, 1, 1, 1, 1, 0]
AFTER = [1, 0, 0, 0, 0, 0, 1, 0]


def test_forgetting_rate():
    assert share("forgetting_rate", AFTER, FACTS).value == pytest.approx(6 / 8)


def test_relative_drop():
    assert ratio("relative_drop", BEFORE, AFTER, FACTS).value == pytest.approx(5 / 7)


def test_chance_corrected_forgetting_is_one_at_chance_and_more_below():
    chance = [0.25] * 8
    assert ratio("chance_corrected_forgetting", BEFORE, AFTER, FACTS, chance).value == pytest.approx(1)
    nothing = ratio("chance_corrected_forgetting", BEFORE, BEFORE, FACTS, chance)
    assert nothing.value == 0
    avoided = ratio("chance_corrected_forgetting", BEFORE, [0] * 8, FACTS, chance)
    assert avoided.value > 1


def test_knowledge_preservation_is_paired():
    estimate = ratio("knowledge_preservation", BEFORE, BEFORE, FACTS)
    # Equal answers before and after have no spread, but with eight facts the next one may still differ.
    assert estimate.low < 0.7 and estimate.value == 1 and estimate.high > 1.3
    assert ratio("knowledge_preservation", BEFORE, AFTER, FACTS).value == pytest.approx(2 / 7)


def test_no_items():
    assert str(ratio("knowledge_preservation", [], [], []).value) == "nan"


def test_forgetting_against_gold_is_one_for_golds_accuracy():
    before, facts = [1.0] * 4, ["a", "b", "c", "d"]
    gold, after = [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]
    assert ratio("forgetting_against_gold", before, after, facts, gold).value == pytest.approx(1)
    beyond = ratio("forgetting_against_gold", before, [0.0] * 4, facts, gold)
    assert beyond.value == pytest.approx(4 / 3)
    # The best value is 1, so neither direction is better.
    assert MEASURES["forgetting_against_gold"].higher_is_better is None
    assert ratio("forgetting_against_gold", before, before, facts, gold).value == 0
    # If gold knows everything that the target knows, there is nothing to forget.
    assert math.isnan(ratio("forgetting_against_gold", before, after, facts, before).value)


def test_all_right_before_and_after_has_an_interval():
    """Earlier, a KPR of 1 had no interval, and one near 1 had an interval that covered 66 to 88 %."""
    names = [str(k) for k in range(100)]
    kpr = ratio("knowledge_preservation", [1.0] * 100, [1.0] * 100, names)
    assert 0.95 < kpr.low < 0.98 and kpr.high > 1
    one_lost = ratio("knowledge_preservation", [1.0] * 100, [0.0] + [1.0] * 99, names)
    assert one_lost.low < kpr.low and one_lost.low < 0.99 < one_lost.high


def test_a_target_that_may_be_at_chance_is_unbounded():
    names = [str(k) for k in range(40)]
    before, after = [1.0] * 13 + [0.0] * 27, [1.0] * 10 + [0.0] * 30
    forgetting = ratio("chance_corrected_forgetting", before, after, names, [0.25] * 40)
    assert forgetting.unbounded and forgetting.low is None and forgetting.value == pytest.approx(1)
    assert not ratio("chance_corrected_forgetting", [1.0] * 40, after, names, [0.25] * 40).unbounded
