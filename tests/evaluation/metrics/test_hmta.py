"""HMTA against its definition, written out as a loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.evaluation.metrics.hmta import Scored, by_level, hmta
from duolearn_cli.evaluation.metrics.intervals import FEW_FACTS

WEIGHTS = {1: 1.0, 2: 1.0, 3: 1.0, 4: 1.0}


def items(level, is_target, before, after, chance=0.25):
    kind = f"{level}{'t' if is_target else 'o'}"
    return [
        Scored(f"{kind}{i}", level, is_target, b, a, chance) for i, (b, a) in enumerate(zip(before, after, strict=True))
    ]


def naive(scored, weights):
    """The definition of the module docstring, item by item."""
    drop = room = kept = known = 0.0
    for item in scored:
        weight = weights[item.level]
        if item.is_target:
            drop += weight * (item.before - item.after)
            room += weight * (item.before - item.chance)
        else:
            kept += weight * item.after
            known += weight * item.before
    if room < 1e-9 or known == 0:
        return None
    ratio = drop / room
    forgotten = max(0.0, ratio if ratio <= 1 else 2 - ratio)
    preserved = min(1.0, kept / known)
    return 0.0 if forgotten + preserved == 0 else 2 * forgotten * preserved / (forgotten + preserved)


def test_by_hand():
    scored = [
        *items(4, True, [1] * 40, [1] * 20 + [0] * 20),  # R = 20 / 30
        *items(4, False, [1] * 40, [1] * 30 + [0] * 10),  # P = 0.75
        *items(1, False, [1] * 40, [1] * 36 + [0] * 4),  # P = 0.9
    ]
    levels = by_level(scored)
    assert levels[4]["forgetting"].value == pytest.approx(2 / 3)
    assert levels[4]["preservation"].value == pytest.approx(0.75)
    assert levels[4]["score"].value == pytest.approx(2 * (2 / 3) * 0.75 / (2 / 3 + 0.75))
    # A level with one kind of item has that kind's value and no score.
    assert set(levels[1]) == {"preservation"} and levels[1]["preservation"].value == pytest.approx(0.9)
    whole, kept = hmta(scored, WEIGHTS | {1: 3.0}), (30 + 3 * 36) / (40 + 3 * 40)
    assert whole.value == pytest.approx(2 * (2 / 3) * kept / (2 / 3 + kept))
    assert whole.low < whole.value < whole.high and (whole.n, whole.facts) == (120, 120)


def test_a_model_that_forgot_nothing_has_a_score_of_zero():
    """A mean over levels, used earlier, gave it two thirds, from the two levels without target items."""
    nothing = [*items(4, True, [1] * 40, [1] * 40)]
    for level in (1, 2, 4):
        nothing += items(level, False, [1] * 40, [1] * 40)
    score = hmta(nothing, WEIGHTS)
    assert score.value == 0 and score.low == 0 and score.high < 0.35


def test_all_wrong_is_not_all_forgotten():
    wrong = [*items(4, True, [1] * 40, [0] * 40), *items(4, False, [1] * 40, [1] * 40)]
    avoided, at_chance = 2 - 4 / 3, hmta([*items(4, True, [1] * 40, [1] * 10 + [0] * 30), *wrong[40:]], WEIGHTS)
    assert hmta(wrong, WEIGHTS).value == pytest.approx(2 * avoided / (1 + avoided))
    assert at_chance.value == pytest.approx(1)
    # If gold answers none of them, none is what is expected.
    of_gold = [Scored(item.fact, item.level, item.is_target, item.before, item.after, 0.0) for item in wrong]
    assert hmta(of_gold, WEIGHTS).value == pytest.approx(1)


def test_more_forgotten_and_nearly_all_kept_is_better():
    """A mean over levels ranked forgetting 0.5 and keeping all above forgetting 0.7 and keeping 0.9."""

    def scored(forgotten, kept):
        rows = items(4, True, [1] * 400, [1] * (400 - round(300 * forgotten)) + [0] * round(300 * forgotten))
        for level in (1, 2, 4):
            rows += items(level, False, [1] * 100, [1] * round(100 * kept) + [0] * round(100 * (1 - kept)))
        return rows

    assert hmta(scored(0.7, 0.9), WEIGHTS).value > hmta(scored(0.5, 1.0), WEIGHTS).value


def test_one_more_item_does_not_make_it_jump():
    few = [*items(4, True, [1] * 40, [0] * 40), *items(4, False, [1] * 40, [1] * 40)]
    values = [
        hmta([*few, *items(1, True, [1] * n, [1] * n)], WEIGHTS).value for n in range(FEW_FACTS - 3, FEW_FACTS + 3)
    ]
    assert np.abs(np.diff(values)).max() < 0.02


def test_forgetting_nothing_and_preserving_nothing_is_zero():
    scored = [*items(4, True, [1] * 40, [1] * 40), *items(4, False, [1] * 40, [0] * 40)]
    assert hmta(scored, WEIGHTS).value == 0


def test_levels_with_few_facts_or_no_weight():
    few = items(4, True, [1] * (FEW_FACTS - 1), [0] * (FEW_FACTS - 1))
    assert by_level(few) == {} and hmta(few, WEIGHTS) is None
    many = items(2, False, [1] * 40, [1] * 20 + [0] * 20)
    assert hmta(many, WEIGHTS) is None
    assert hmta([*few, *many], WEIGHTS).value == pytest.approx(2 * (2 / 3) * 0.5 / (2 / 3 + 0.5))
    assert hmta([*few, *many], WEIGHTS | {2: 0.0}) is None


def test_a_level_whose_target_was_never_known_has_nothing_to_forget():
    unknown = items(4, True, [1] * 10 + [0] * 30, [1] * 10 + [0] * 30)  # at chance before and after
    kept = items(4, False, [1] * 40, [1] * 40)
    levels = by_level([*unknown, *kept])
    assert np.isnan(levels[4]["forgetting"].value) and np.isnan(levels[4]["score"].value)
    assert levels[4]["preservation"].value == 1
    assert hmta([*unknown, *kept], WEIGHTS) is None


def test_a_target_that_may_be_at_chance_may_have_any_score():
    weak = items(4, True, [1] * 12 + [0] * 28, [1] * 10 + [0] * 30)
    kept = items(4, False, [1] * 40, [1] * 38 + [0] * 2)
    assert by_level(weak)[4]["forgetting"].unbounded
    score = hmta([*weak, *kept], WEIGHTS)
    assert score.low < 0.05 and score.high > 0.95


@given(st.data())
def test_equals_the_definition(data):
    scored = []
    for level in (1, 2, 4):
        for is_target in (True, False):
            n = data.draw(st.integers(0, 45))
            after = data.draw(st.lists(st.sampled_from([0, 1]), min_size=n, max_size=n))
            wrong = data.draw(st.integers(0, n // 3))
            scored += items(level, is_target, [1] * (n - wrong) + [0] * wrong, after)
    weights = {level: data.draw(st.sampled_from([0.5, 1.0, 2.0])) for level in (1, 2, 3, 4)}
    score, expected = hmta(scored, weights), naive(scored, weights)
    assert score is None if expected is None else score.value == pytest.approx(expected)
