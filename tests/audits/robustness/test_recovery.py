"""Shares and gains, against plain arithmetic and a bootstrap written as a loop."""

import random
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.audits.robustness.recovery import above_gold, accuracy, recovered, sheet
from tests.audits.robustness.stand_in import row

HITS = st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=2, max_size=60)


def answers(hits, per_fact=2):
    """A sheet with one item for each hit and `per_fact` items for each fact."""
    return {str(i): (f"fact{i // per_fact}", float(hit)) for i, hit in enumerate(hits)}


@given(HITS)
def test_recovered_is_the_ratio_of_sums_on_the_same_items(hits):
    after, before, target = (list(column) for column in zip(*hits, strict=True))
    share = recovered(*map(answers, (after, before, target)))
    if sum(target) <= sum(before):
        assert share is None
        return
    assert share.value == pytest.approx((sum(after) - sum(before)) / (sum(target) - sum(before)))
    assert share.n == len(hits)
    if (len(hits) + 1) // 2 < 30:
        assert share.low is None and share.high is None


def many(seed, share, count=80):
    draw = random.Random(seed)
    return answers([draw.random() < share for _ in range(count)])


def test_intervals_are_near_those_of_resampled_facts():
    after, before, target = many(0, 0.5), many(1, 0.25), many(2, 0.95)
    share = recovered(after, before, target)
    by_fact = [
        [sum(hit for fact, hit in one.values() if fact == f"fact{k}") for k in range(40)]
        for one in (after, before, target)
    ]
    draw, shares = np.random.default_rng(5), []
    for _ in range(4000):
        chosen = draw.integers(0, 40, 40)
        a, b, t = (sum(column[k] for k in chosen) for column in by_fact)
        shares.append((a - b) / (t - b))
    low, high = np.percentile(shares, [2.5, 97.5])
    assert share.low == pytest.approx(low, abs=0.06) and share.high == pytest.approx(high, abs=0.06)
    assert share.low < share.value < share.high


def test_other_phrasings_of_the_same_facts_are_compared_by_accuracy():
    """One held-out item a fact against two trained ones: sums are not comparable, but accuracies are."""
    heldout = answers([1, 0, 1, 1], per_fact=1)
    before, target = answers([0, 0, 1, 0, 0, 0, 0, 0]), answers([1] * 8)
    assert recovered(heldout, before, target).value == pytest.approx((3 / 4 - 1 / 8) / (1 - 1 / 8))


def test_negative_and_large_shares_are_shown_as_measured():
    assert recovered(answers([0, 0]), answers([1, 0]), answers([1, 1])).value == -1
    assert recovered(answers([1, 1, 1, 1]), answers([0, 0, 0, 0]), answers([1, 1, 0, 0])).value == 2
    assert recovered(answers([1, 1]), answers([1, 1]), answers([1, 1])) is None
    assert recovered({}, {}, {}) is None


def test_facts_must_be_the_same():
    with pytest.raises(ValueError, match="cannot be paired"):
        recovered(answers([1, 1]), answers([1, 1, 1, 1]), answers([1, 1]))


@given(st.lists(st.tuples(*[st.booleans()] * 4), min_size=2, max_size=40))
def test_gain_above_gold(hits):
    columns = [list(column) for column in zip(*hits, strict=True)]
    gain = above_gold(*map(answers, columns))
    a, b, c, d = map(fmean, columns)
    assert gain.value == pytest.approx((a - b) - (c - d))


def test_recovering_nothing_and_everything_have_intervals():
    """Forty facts that agree, for which a bootstrap has no spread."""
    none, whole = answers([0] * 40, 1), answers([1] * 40, 1)
    nothing, everything = recovered(none, none, whole), recovered(whole, none, whole)
    assert nothing.value == 0 and nothing.low < 0 < nothing.high < 0.15
    assert everything.value == 1 and 0.85 < everything.low < 1 < everything.high
    # If the target may know no more than the model before the attack, any share is possible.
    assert recovered(none, none, answers([1] + [0] * 39, 1)).unbounded
    gain, most = above_gold(none, none, none, none), above_gold(whole, none, none, whole)
    assert gain.low < 0 < gain.high < 0.15 and most.value == most.high == 2 and most.low > 1.7


def test_small_gains_above_gold_are_covered():
    """A bootstrap, tried first, gave two in three of these samples no interval at 0.01."""
    rng = np.random.default_rng(1)
    none = answers([0] * 40, 1)
    for truth in (0.01, 0.02, 0.05, 0.1):
        gains = [above_gold(answers(rng.random(40) < truth, 1), none, none, none) for _ in range(200)]
        assert sum(one.low <= truth <= one.high for one in gains) >= 0.92 * 200


def test_several_variations_of_an_item_are_one_answer():
    rows = [row("gold", "a", "x", hit, repeat=k) for k, hit in enumerate([1.0, 0.0, 0.0, 1.0])]
    rows += [row("gold", "b", "x", 1.0), row("unlearned", "a", "x", 1.0), row("gold", "c", "y", 1.0, side="retain")]
    own = sheet(rows, "gold", "forget")
    assert own == {"a": ("x", 0.5), "b": ("x", 1.0)}
    assert accuracy(own).value == 0.75 and accuracy(own).n == 2


def test_few_facts_have_no_interval():
    assert accuracy(answers([1, 0] * 29)).low is None
    enough = accuracy(answers([1, 0, 0] * 20))
    assert enough.low < enough.value < enough.high and enough.n == 60 and enough.facts == 30
