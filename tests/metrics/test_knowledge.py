"""Forgetting and preservation against hand-computed values."""

import math

import pytest

from duolearn_cli.metrics import knowledge

FACTS = [str(i) for i in range(8)]
BEFORE = [1, 1, 1, 1, 1, 1, 1, 0]
AFTER = [1, 0, 0, 0, 0, 0, 1, 0]


def test_forgetting_rate():
    assert knowledge.forgetting_rate(AFTER, FACTS).value == pytest.approx(6 / 8)


def test_relative_drop():
    assert knowledge.relative_drop(BEFORE, AFTER, FACTS).value == pytest.approx(5 / 7)


def test_chance_corrected_forgetting_is_one_at_chance_and_more_below():
    chance = [0.25] * 8
    assert knowledge.chance_corrected_forgetting(BEFORE, AFTER, chance, FACTS).value == pytest.approx(1)
    nothing = knowledge.chance_corrected_forgetting(BEFORE, BEFORE, chance, FACTS)
    assert nothing.value == 0
    avoided = knowledge.chance_corrected_forgetting(BEFORE, [0] * 8, chance, FACTS)
    assert avoided.value > 1


def test_knowledge_preservation_is_paired():
    estimate = knowledge.knowledge_preservation(BEFORE, BEFORE, FACTS)
    # The same answers before and after leave no spread in the sample; of eight facts the next may differ all the same.
    assert estimate.low < 0.7 and estimate.value == 1 and estimate.high > 1.3
    assert knowledge.knowledge_preservation(BEFORE, AFTER, FACTS).value == pytest.approx(2 / 7)


def test_no_items():
    assert str(knowledge.knowledge_preservation([], [], []).value) == "nan"


def test_forgetting_against_gold_is_one_where_gold_is():
    before, facts = [1.0] * 4, ["a", "b", "c", "d"]
    gold, after = [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]
    assert knowledge.forgetting_against_gold(before, after, gold, facts).value == pytest.approx(1)
    found = knowledge.forgetting_against_gold(before, [0.0] * 4, gold, facts)
    assert found.value == pytest.approx(4 / 3) and found.higher_is_better is None
    assert knowledge.forgetting_against_gold(before, before, gold, facts).value == 0
    # Where gold knows all that the target knows there is nothing to forget.
    assert math.isnan(knowledge.forgetting_against_gold(before, after, before, facts).value)
