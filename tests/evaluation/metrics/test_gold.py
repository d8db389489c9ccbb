"""The distance to gold, against plain loops, and the test whether a model ends where gold ends."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duolearn_cli.evaluation.metrics.gold import distance, kolmogorov_smirnov, likeness, permuted, way
from duolearn_cli.evaluation.metrics.intervals import FEW_FACTS

FACTS = [str(k) for k in range(100)]

rows = st.lists(
    st.tuples(st.integers(0, 5).map(float), st.integers(0, 5).map(float), st.integers(0, 3), st.integers(0, 3)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(rows)
def test_against_the_definitions(items):
    ours, gold, answers, gold_answers = map(list, zip(*items, strict=True))
    figures = distance(ours, gold, answers, gold_answers, [str(i // 2) for i in range(len(items))])
    assert figures["ks"] == pytest.approx(apart(ours, gold))
    assert figures["nll_distance"].value == pytest.approx(
        sum(abs(a - b) for a, b in zip(ours, gold, strict=True)) / len(ours)
    )
    assert figures["agreement"].value == pytest.approx(
        sum(a == b for a, b in zip(answers, gold_answers, strict=True)) / len(answers)
    )
    assert figures["agreement"].n == len(items)


def apart(ours, theirs):
    grid = {*ours, *theirs}
    return max(abs(sum(x <= t for x in ours) - sum(x <= t for x in theirs)) / len(ours) for t in grid)


def test_a_model_is_at_no_distance_from_itself():
    figures = distance([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [0, 1, 2], [0, 1, 2], ["a", "b", "c"])
    assert figures["ks"] == 0 and figures["ks_p_value"] == 1 and figures["nll_distance"].value == 0
    assert figures["agreement"].value == 1 and figures["agreement"].low < 1
    assert distance([], [], [], [], []) == {}


def test_swaps_are_of_whole_facts():
    """Compare with all swaps of five facts, enumerated in a loop."""
    rng = np.random.default_rng(0)
    facts = [f"f{k // 2}" for k in range(10)]
    ours, theirs = rng.integers(0, 6, 10).astype(float), rng.integers(0, 6, 10).astype(float)
    every = []
    for swapped in itertools.product([False, True], repeat=5):
        chosen = np.repeat(swapped, 2)
        every.append(apart(np.where(chosen, theirs, ours).tolist(), np.where(chosen, ours, theirs).tolist()))
    own = kolmogorov_smirnov(ours, theirs)
    p_value, same = permuted(ours, theirs, facts)
    assert p_value == pytest.approx(np.mean([one >= own - 1e-12 for one in every]), abs=0.03)
    assert same == pytest.approx(np.quantile(every, 0.95), abs=0.1)


def test_phrasings_of_one_fact_are_not_independent_evidence():
    """The p-value for independent samples, which this replaced, would be far too small."""
    rng = np.random.default_rng(3)
    ours, theirs = (np.repeat(rng.normal(size=12), 20) for _ in range(2))
    from scipy import stats

    p_value, _ = permuted(ours, theirs, [f"f{k // 20}" for k in range(240)])
    assert p_value > 0.05 > 0.01 > stats.ks_2samp(ours, theirs).pvalue


def test_the_way_from_target_to_gold():
    target, gold = [0.0] * 80, [4.0] * 80
    facts = [str(k // 2) for k in range(80)]
    rng = np.random.default_rng(0)
    near, far = (rng.normal(mean, 0.3, 80).tolist() for mean in (4.0, 5.0))
    near_way = way(target, gold, near, facts)
    assert near_way.value == pytest.approx(np.mean(near) / 4) and near_way.is_shown
    assert not way(target, gold, far, facts).is_shown and way(target, gold, far, facts, margin=0.5).is_shown
    # Few facts, or noisy ones, show nothing.
    assert not way(target[:4], gold[:4], near[:4], facts[:4]).is_shown
    assert not way(target, gold, rng.normal(4, 4, 80).tolist(), facts).is_shown
    nothing = way(target, target, near, facts)
    assert math.isnan(nothing.value) and not nothing.is_shown


def test_way_against_halls_formula():
    """Both ends satisfy the transformation as the paper gives it."""
    rng = np.random.default_rng(1)
    gold, own = 3 + rng.exponential(1.0, 40), 3 + rng.exponential(1.0, 40)
    share = way([0.0] * 40, gold.tolist(), own.tolist(), FACTS[:40], margin=0.2, level=0.05)
    for bound, end, t in ((0.8, share.low, 1.684875), (1.2, share.high, -1.684875)):
        gap = own - bound * gold
        a = float(((gap - gap.mean()) ** 3).mean() / gap.std() ** 3) / 3
        x = float((share.value - end) * gold.mean() / gap.std(ddof=1)) * 40**0.5
        assert x + a * x**2 / 40**0.5 + a**2 * x**3 / 120 + a / (2 * 40**0.5) == pytest.approx(t, abs=1e-4)


@pytest.mark.parametrize(("count", "most"), [(15, 0.0), (30, 0.085), (37, 0.085), (100, 0.085)])
def test_one_fact_in_ten_left_untouched_is_rarely_shown_to_be_as_gold(count, most):
    """The truth is at the margin. A plain t-test errs in 22, 15, 14 and 9 %; 8.5 % is 5 % plus 3 standard errors."""
    rng = np.random.default_rng(0)
    shown = 0
    for _ in range(400):
        gold = np.maximum(0.2, 4 + 1.5 * rng.standard_normal(count))
        own = np.where(rng.random(count) < 0.1, 0.0, gold + 0.3 * rng.standard_normal(count))
        shown += way([0.0] * count, gold.tolist(), own.tolist(), FACTS[:count]).is_shown
    assert shown / 400 <= most


def test_few_facts_show_nothing():
    for count in (FEW_FACTS - 1, FEW_FACTS):
        share = way([0.0] * count, [4.0] * count, [4.0] * count, FACTS[:count])
        assert share.low == share.high == 1 and share.is_shown == (count == FEW_FACTS)


def test_likeness_needs_every_figure():
    facts = [str(k) for k in range(30)]
    target = {"nll": [0.1] * 30, "chance": [1.0] * 30}
    gold = {"nll": [4.0] * 30, "chance": [0.25] * 30}
    section = likeness(target, gold, gold, facts)
    assert section["shown"] and section["nll"] == {"value": 1.0, "low": 1.0, "high": 1.0} and section["margin"] == 0.1
    assert not likeness(target, gold, gold | {"chance": [0.0] * 30}, facts)["shown"]
