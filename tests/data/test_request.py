"""The request that unlearning gets: faults, filled subjects, conflicts and balance; by default the true items."""

import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.concepts.hierarchy import Target
from duolearn_cli.config.compose import compose
from duolearn_cli.config.schema import ImperfectConfig, LabelsConfig
from duolearn_cli.data.items import Item
from duolearn_cli.data.request import balance, make_request
from duolearn_cli.data.sides import ConceptView
from duolearn_cli.errors import DataError
from duolearn_cli.pipeline.prepare import prepare


@pytest.fixture(scope="module")
def whole():
    return prepare(compose("unlearn", ["+forget=surgery", "labels.conflicts=ignore"]))


def request_of(study, faults=None, **labels):
    def mentions(item):
        return study.matcher.concepts([item.question, *item.options])

    return make_request(
        study.splits.forget_train,
        study.splits.retain_train,
        ConceptView(study.target, study.hierarchy, mentions),
        faults or ImperfectConfig(),
        LabelsConfig(**{"conflicts": "ignore", **labels}),
    )


def leaked(study, request):
    """Return the true forget items on the retain side."""
    truth = {item.id for item in study.splits.forget_train}
    return sum(item.id in truth for item in request.retain)


def test_without_faults_the_request_is_the_splits(whole):
    assert whole.request.forget == whole.splits.forget_train
    assert whole.request.retain == whole.splits.retain_train
    assert whole.request.weights == {} and whole.request.doubts == ()


def test_filling_prevents_that_forget_items_are_retained(whole):
    faults = ImperfectConfig(missing_subjects=0.4)
    filled, unfilled = request_of(whole, faults), request_of(whole, faults, fill=False)
    # Without filling, an unlabelled item is retained unless it mentions a target concept.
    assert 0 < leaked(whole, unfilled) < 20 and unfilled.summary()["mentions_target"] > 80
    assert leaked(whole, filled) < 10
    assert len(filled.forget) > len(unfilled.forget)
    outcomes = filled.summary()
    assert sum(outcomes.get(name, 0) for name in ("filled", "undecided", "mentions_target")) == 480
    kept = {item.id for item in (*unfilled.retain, *filled.retain)}
    speak = [d.id for d in (*unfilled.doubts, *filled.doubts) if d.outcome == "mentions_target"]
    assert kept.isdisjoint(speak[: len(unfilled.doubts)]) and {d.outcome for d in unfilled.doubts} == {
        "mentions_target"
    }


def test_an_impossible_threshold_leaves_out_all_unlabelled_items(whole):
    request = request_of(whole, ImperfectConfig(missing_subjects=0.4), threshold=1.0)
    assert request.summary().get("undecided", 0) > 0
    left_out = request.summary()["undecided"] + request.summary().get("mentions_target", 0)
    assert len(request.forget) + len(request.retain) == 1200 - left_out


def test_conflicts_are_reported_or_left_out(whole):
    faults = ImperfectConfig(wrong_subjects=0.2)
    wrong = request_of(whole, faults)
    reported = request_of(whole, faults, conflicts="report")
    cleaned = request_of(whole, faults, conflicts="leave_out")
    assert [i.id for i in reported.forget] == [i.id for i in wrong.forget] and reported.doubts
    assert leaked(whole, cleaned) < leaked(whole, wrong) / 2
    assert {doubt.outcome for doubt in cleaned.doubts} <= {"left_out", "conflicting"}
    left_out = {doubt.id for doubt in cleaned.doubts if doubt.outcome == "left_out"}
    assert left_out and left_out.isdisjoint(item.id for item in (*cleaned.forget, *cleaned.retain))


def test_wrong_answers_reach_the_request_and_nothing_else(whole):
    request = request_of(whole, ImperfectConfig(wrong_answers=0.5))
    truth = {item.id: item for item in (*whole.splits.forget_train, *whole.splits.retain_train)}
    items = (*request.forget, *request.retain)
    assert sum(item.answer != truth[item.id].answer for item in items) == 600
    assert all(item == replace(truth[item.id], answer=item.answer) for item in items)


def test_everything_missing_and_nothing_filled_is_an_error(whole):
    with pytest.raises(DataError, match="0 items are left to forget"):
        request_of(whole, ImperfectConfig(missing_subjects=1.0), fill=False)


def test_balance_gives_every_subject_the_same_weight(whole):
    items = whole.splits.retain_train
    weights = balance(items, whole.target, 1.0)
    by_subject = Counter()
    for item in items:
        by_subject[item.subject] += weights[item.id]
    assert max(by_subject.values()) == pytest.approx(min(by_subject.values()))
    assert sum(weights.values()) / len(items) == pytest.approx(1)
    half = balance(items, whole.target, 0.5)
    assert max(half.values()) < max(weights.values()) and balance(items, whole.target, 0.0) == {}


@given(st.lists(st.sampled_from("abcde"), min_size=1, max_size=40), st.floats(0, 1))
def test_balanced_weights_are_finite_positive_and_mean_one(subjects, exponent):
    items = [Item(f"i{n}", "?", ("a", "b"), 0, subject) for n, subject in enumerate(subjects)]
    target = Target("t", frozenset(), frozenset(), frozenset(), frozenset({"a"}))
    weights = balance(items, target, exponent)
    assert all(math.isfinite(weight) and weight > 0 for weight in weights.values())
    assert not weights or sum(weights.values()) / len(items) == pytest.approx(1)
