"""Warnings that what earlier requests forgot came back: the same items before and now, request by request."""

from collections.abc import Sequence
from types import SimpleNamespace

from duolearn_cli.evaluation.measures import MEASURES
from duolearn_cli.evaluation.requests import came_back, came_back_by_request


def rows(correct: Sequence[bool], recalled: bool = False, start: int = 0):
    """An answer to each of as many facts."""
    return [
        SimpleNamespace(id=f"i{k}", fact=f"f{k}", correct=one, recalled=recalled)
        for k, one in enumerate(correct, start=start)
    ]


def answers(before, now):
    return {"target": {"earlier": before}, "unlearned": {"earlier": now}}


def test_the_same_items_are_compared():
    # Intervals of 60 % and 85 % overlap for these items, and none of them was lost.
    before, now = [True] * 24 + [False] * 16, [True] * 34 + [False] * 6
    warnings = came_back(answers(rows(before), rows(now)))
    assert list(warnings) == ["earlier_accuracy"] and set(warnings) <= MEASURES.keys()
    assert "85.0 % of their items are answered right, 60.0 % before" in warnings["earlier_accuracy"]
    assert list(came_back(answers(rows(before), rows(before, recalled=True)))) == ["earlier_recall"]
    # As much came as went, or one item alone: that is no return.
    assert came_back(answers(rows(before), rows(before[::-1]))) == {}
    assert came_back(answers(rows([False]), rows([True]))) == {}
    assert came_back({"target": {"earlier": rows(before)}}) == came_back({"unlearned": {}}) == {}


def test_one_request_is_not_hidden_by_another():
    one, other = (frozenset(f"f{k}" for k in range(start, start + 20)) for start in (0, 20))
    low, high = [True] * 5 + [False] * 15, [True] * 15 + [False] * 5
    both = answers(rows(low + high), rows(high + low))
    assert came_back(both) == {}
    (said,) = came_back_by_request([("surgery", one), ("trauma", other)], both)
    assert said.startswith("What the request surgery had forgotten came back: 75.0 % of its items")
    # A warning for all of them says it already.
    assert came_back_by_request([("surgery", one)], both) == []
