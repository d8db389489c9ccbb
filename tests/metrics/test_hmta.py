"""HMTA against its formula, written out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.metrics.hmta import MIN_ITEMS, Scored, by_level, hmta

WEIGHTS = {1: 1.0, 2: 1.0, 3: 1.0, 4: 1.0}


def items(level, is_target, before, after, chance=0.25):
    kind = f"{level}{'t' if is_target else 'o'}"
    return [
        Scored(f"{kind}{i}", level, is_target, b, a, chance) for i, (b, a) in enumerate(zip(before, after, strict=True))
    ]


def naive(scored, weights):
    """The definition, read aloud."""
    scores = {}
    for level in {item.level for item in scored}:
        parts = []
        for is_target in (True, False):
            group = [item for item in scored if item.level == level and item.is_target == is_target]
            if len(group) < MIN_ITEMS:
                continue
            before, after = np.mean([i.before for i in group]), np.mean([i.after for i in group])
            chance = np.mean([i.chance for i in group])
            value = (before - after) / (before - chance) if is_target else after / before
            parts.append(min(1.0, max(0.0, value)))
        if len(parts) == 2:
            scores[level] = 0.0 if sum(parts) == 0 else 2 * parts[0] * parts[1] / sum(parts)
        elif parts:
            scores[level] = parts[0]
    total = sum(weights[level] for level in scores)
    return sum(weights[level] * score for level, score in scores.items()) / total


def test_by_hand():
    scored = [
        *items(4, True, [1] * 40, [1] * 20 + [0] * 20),  # F = 0.5 / 0.75
        *items(4, False, [1] * 40, [1] * 30 + [0] * 10),  # P = 0.75
        *items(1, False, [1] * 40, [1] * 36 + [0] * 4),  # P = 0.9 alone
    ]
    found = by_level(scored)
    assert found[4]["forgetting"].value == pytest.approx(2 / 3)
    assert found[4]["preservation"].value == pytest.approx(0.75)
    assert found[4]["score"].value == pytest.approx(2 * (2 / 3) * 0.75 / (2 / 3 + 0.75))
    assert set(found[1]) == {"preservation", "score"} and found[1]["score"].value == pytest.approx(0.9)
    whole = hmta(scored, WEIGHTS | {1: 3.0})
    assert whole.value == pytest.approx((found[4]["score"].value + 3 * 0.9) / 4)
    assert whole.low < whole.value < whole.high and whole.n == 120


def test_nothing_forgotten_or_all_kept_from_answering_is_zero():
    scored = [*items(4, True, [1] * 40, [1] * 40), *items(4, False, [1] * 40, [1] * 40)]
    assert hmta(scored, WEIGHTS).value == 0
    scored = [*items(4, True, [1] * 40, [0] * 40), *items(4, False, [1] * 40, [0] * 40)]
    assert hmta(scored, WEIGHTS).value == 0


def test_levels_with_few_items_or_no_weight_do_not_count():
    few = items(4, True, [1] * (MIN_ITEMS - 1), [0] * (MIN_ITEMS - 1))
    assert hmta(few, WEIGHTS) is None and by_level(few) == {}
    many = items(2, False, [1] * 40, [1] * 20 + [0] * 20)
    assert hmta([*few, *many], WEIGHTS).value == pytest.approx(0.5)
    assert hmta(many, WEIGHTS | {2: 0.0}) is None


def test_a_level_whose_target_was_never_known_is_left_out():
    unknown = items(4, True, [1] * 10 + [0] * 30, [1] * 10 + [0] * 30)  # at chance before and after
    kept = items(4, False, [1] * 40, [1] * 40)
    known = [*items(3, True, [1] * 40, [1] * 40), *items(3, False, [1] * 40, [1] * 40)]
    found = by_level([*unknown, *kept, *known])
    assert np.isnan(found[4]["forgetting"].value) and np.isnan(found[4]["score"].value)
    assert found[4]["preservation"].value == 1
    assert hmta([*unknown, *kept, *known], WEIGHTS).value == 0
    assert hmta([*unknown, *kept], WEIGHTS) is None


def test_a_level_of_few_facts_does_not_take_the_interval_away():
    # All forget items of level 1 are one fact: most resamples miss it.
    one = [Scored("one", 1, True, 1, i % 2, 0.25) for i in range(MIN_ITEMS)]
    scored = [
        *one,
        *items(1, False, [1] * 200, [1] * 180 + [0] * 20),
        *items(4, True, [1] * 200, [1] * 80 + [0] * 120),
        *items(4, False, [1] * 200, [1] * 150 + [0] * 50),
    ]
    whole = hmta(scored, WEIGHTS)
    assert whole.low < whole.value < whole.high


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
    found = hmta(scored, weights)
    if found is None:
        assert all(
            sum(i.level == level and i.is_target == t for i in scored) < MIN_ITEMS
            for level in (1, 2, 4)
            for t in (0, 1)
        )
    else:
        assert found.value == pytest.approx(naive(scored, weights))
