"""Which questions a report shows."""

from __future__ import annotations

from dataclasses import replace

from duolearn_cli.evaluation.answer import Answer
from duolearn_cli.evaluation.examples import SHOWN, examples

PLAIN = Answer("", "", False, "Surgery", None, 0, 0, (0.0, -1.0), 0.1, True, True, (0.0, -1.0), 1, 1.0, 0.0, 0.0, 9)


def answers(rights, side):
    """Two phrasings of each fact, right where `rights` says so."""
    scores = {True: (0.0, -1.0), False: (-1.0, 0.0)}
    rows = [
        replace(PLAIN, id=f"{side}{n}#{k}", fact=f"{side}{n}", scores=scores[right], prediction=int(not right))
        for n, right in enumerate(rights)
        for k in (0, 1)
    ]
    return {f"{side}_train": rows}


def models(target, unlearned):
    return {
        name: answers(forget, "forget") | answers(retain, "retain")
        for name, (forget, retain) in (("target", target), ("unlearned", unlearned))
    }


def test_each_kind_has_its_questions():
    found = examples(models(([True, True, False], [True, True]), ([False, True, False], [True, False])))
    kinds = {row["kind"]: row for row in found}
    assert {kind: row["fact"] for kind, row in kinds.items()} == {
        "forgotten": "forget0",
        "kept": "retain0",
        "lost": "retain1",
        "known": "forget1",
    }
    assert [(row["count"], row["of"]) for row in kinds.values()] == [(2, 6), (2, 4), (2, 4), (2, 6)]
    assert kinds["lost"]["chosen"] == {"target": 0, "unlearned": 1} and kinds["lost"]["answer"] == 0


def test_there_are_ten_of_a_kind_one_a_fact_and_always_the_same():
    many = models(([True] * 30, []), ([False] * 30, []))
    first, again = examples(many), examples(many)
    assert len(first) == SHOWN == len({row["fact"] for row in first}) and first == again
    assert {row["count"] for row in first} == {60}


def test_a_tie_is_neither_right_nor_wrong_before():
    tied = models(([True], []), ([True], []))
    for row in tied["target"]["forget_train"]:
        object.__setattr__(row, "scores", (0.0, 0.0))
    assert examples(tied) == []


def test_without_both_models_there_are_none():
    assert examples({"target": answers([True], "forget")}) == []
