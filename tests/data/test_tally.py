"""Every row is counted, warnings say what matters, and a request made of guesses is refused."""

import re

import pytest

from duolearn_cli.concepts.hierarchy import Target
from duolearn_cli.config.schema import LabelsConfig
from duolearn_cli.data.items import Item, Loaded, Rejected
from duolearn_cli.data.sides import Doubt, Sides
from duolearn_cli.data.tally import borderline, check_guessed, nearest, request_warning, rows_of, tally
from duolearn_cli.errors import DataError

TARGET = Target("surgery", frozenset(), frozenset(), frozenset(), frozenset({"Surgery"}))


def of(forget=None, retain=None, neither=None, rejected=0, questions=("What is this?",)):
    items = tuple(Item(f"i{n}", text, ("a", "b"), 0) for n, text in enumerate(questions))
    bad = tuple(Rejected("f", n, None, "malformed_row", "") for n in range(rejected))
    counts = {"forget": forget or {}, "retain": retain or {}, "neither": neither or {}}
    placed = {
        f"{side} {why} {n}": (side, why)
        for side, reasons in counts.items()
        for why, count in reasons.items()
        for n in range(count)
    }
    sides = Sides(items, frozenset(), frozenset(), (), placed)
    return tally(Loaded(items, bad), sides)


def test_rows_and_reasons():
    counts = of({"given_label": 1200, "guessed_label": 3}, {"given_label": 4000}, {"undecided": 2}, rejected=5)
    assert counts.total == 5210 and counts.of("neither") == 7
    assert counts.rows() == [
        ("rows in forget", "1,203: 1,200 given label, 3 guessed label"),
        ("rows in retain", "4,000: 4,000 given label"),
        ("rows in neither", "7: 2 no label, no confident guess, 5 rejected (see rejected rows)"),
    ]
    assert counts.sentence().startswith("5,210 rows: forget 1,203: 1,200 given label")
    assert rows_of(counts.as_dict()) == counts.rows() and rows_of({}) == []
    assert not list(counts.warnings())


def test_a_warning_comes_if_more_than_a_tenth_enters_neither_side():
    assert not list(of({"given_label": 90}, {}, {"undecided": 10}).warnings())
    (warning,) = of({"given_label": 89}, {}, {"undecided": 10, "mentions_target": 1}).warnings()
    assert warning.startswith(
        "11 of 100 rows (11%) are neither forgotten nor retained: 10 no label, no confident guess"
    )
    assert "forget.by=concepts" in warning and "only if you give them a subject" in warning


def test_text_that_is_not_english_is_counted():
    counts = of({"given_label": 2}, questions=("What is this?", "Welche Aussage ist richtig und nicht falsch?"))
    (warning,) = counts.warnings()
    assert warning.startswith("1 of 2 items do not look like English") and ("rows not in English", "1") in counts.rows()


def test_borderline_items_are_listed_nearest_first():
    items = [Item(f"i{n}", f"Question {n} " + "long " * 40, ("a", "b"), 0) for n in range(9)]
    doubts = [Doubt(f"i{n}", None, "t", n / 30, "borderline") for n in range(8)] + [
        Doubt("i8", None, "S", 0.9, "filled")
    ]
    lines = borderline(doubts, items)
    assert [line.split()[:2] for line in lines[:2]] == [["0.23", "i7:"], ["0.20", "i6:"]] and len(lines) == 5
    assert all(len(line) < 110 for line in lines)
    assert nearest(doubts) == "8 mention one in passing; set forget.about=0.13 to take the nearest, or "
    assert nearest(doubts[-3:]) == ""


def test_a_warning_counts_items_that_faults_leave_out():
    doubts = [Doubt("a", None, "S", 0.1, "undecided"), Doubt("b", None, "S", 0.1, "filled")]
    assert not list(request_warning(doubts, 10))
    assert next(request_warning(doubts, 9)).startswith("1 of 9 trained items (11%)")


def test_a_request_made_of_guesses_is_refused():
    items = [Item(f"i{n}", "?", ("a", "b"), 0, "Surgery") for n in range(4)]
    check_guessed(items, {"i0", "i1"}, TARGET, LabelsConfig())
    with pytest.raises(DataError, match=re.escape("3 of 4 items to forget (75%) have no label of their own")) as caught:
        check_guessed(items, {"i0", "i1", "i2"}, TARGET, LabelsConfig())
    assert "labels.max_guessed=1" in str(caught.value) and "forget.by=concepts" in str(caught.value)
    check_guessed(items, {"i0", "i1", "i2"}, TARGET, LabelsConfig(max_guessed=0.75))
