"""Runs that are compared: their letters, what differs, and what is said of other items."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from duolearn_cli.evaluation.measures.central import KEEPING, LOSS_SCORE, RETAIN_ACCURACY
from duolearn_cli.report.answers import Answers
from duolearn_cli.report.averages import difference_of_runs
from duolearn_cli.report.changed_items import Choice, changes, changes_table
from duolearn_cli.report.compared import Compared, differing, letter, refusals, remarks
from duolearn_cli.report.comparison import differences_over_seeds
from duolearn_cli.report.jobs import Job


def rows(right, side="retain"):
    """The answers of target (all right) and unlearned to one item of each fact."""
    for model, marks in (("target", dict.fromkeys(right, 1.0)), ("unlearned", right)):
        for fact, mark in marks.items():
            shown = {"id": fact, "fact": fact, "split": f"{side}_train", "scores": [0.0, 0.0], "correct": mark}
            yield {"model": model, **shown, "recalled": mark, "valid": 1.0, "nll": 1.0}


def run(label, right, value, **settings):
    flat = {key.replace("__", "."): one for key, one in settings.items()}
    scores = {key: {"value": value, "low": 0.0, "high": 1.0} for key in (RETAIN_ACCURACY.key, KEEPING.key)}
    job = Job(label, {"method._target_": "a.Npo", "seed": 0, **flat}, scores)
    metrics = {"forget": "surgery", "dataset": "minimed"}
    return Compared(Path(label), label, job, metrics, {"weights": "w"}, Answers.of(rows(right)))


EVERY = {f"f{k}": float(k % 4 > 0) for k in range(20)}


def test_letters_go_on_after_z():
    assert [letter(place) for place in (0, 25, 26, 51, 52)] == ["A", "Z", "AA", "AZ", "BA"]


def test_a_difference_is_paired_by_fact_on_the_facts_in_common():
    ours, theirs = run("A", EVERY, 0.75), run("B", EVERY | {"f1": 0.0}, 0.70)
    found = difference_of_runs(theirs.job, ours.job, RETAIN_ACCURACY, [theirs.answers, ours.answers])
    assert found is not None and found["value"] == pytest.approx(-0.05)
    assert -0.25 < found["low"] < -0.05 < 0 < found["high"] < 0.15
    assert list(remarks([ours, theirs])) == []
    fewer = run("C", {fact: mark for fact, mark in EVERY.items() if fact != "f0"}, 0.79)
    (said,) = remarks([ours, fewer])
    assert "C and A were asked 19 retain facts in common, of 19 and 20" in said


def test_what_cannot_be_paired_has_a_value_alone():
    ours, theirs = run("A", EVERY, 0.75), run("B", EVERY, 0.75)
    score = {LOSS_SCORE.key: {"value": 0.5}}
    jobs = [replace(one.job, scores=score) for one in (ours, theirs)]
    assert difference_of_runs(*jobs, LOSS_SCORE, [ours.answers, theirs.answers]) == {"value": 0.0}
    assert difference_of_runs(*jobs, KEEPING, [ours.answers, theirs.answers]) is None
    assert difference_of_runs(ours.job, theirs.job, KEEPING, [ours.answers, None]) == {"value": 0.0}
    unbounded = {KEEPING.key: {"value": 0.75, "unbounded": True}}
    found = difference_of_runs(replace(ours.job, scores=unbounded), theirs.job, KEEPING, [ours.answers, theirs.answers])
    assert found == {"value": 0.0}


def test_two_targets_of_one_name_and_other_facts_are_refused():
    first = run("A", EVERY, 0.75, forget__concepts=["surgery"])
    assert list(refusals([first, run("B", EVERY, 0.75, forget__concepts=["surgery"])])) == []
    (other,) = refusals([first, run("B", EVERY, 0.75, forget__concepts=["trauma"])])
    assert "forget.concepts=['trauma']" in other
    (apart,) = refusals([first, run("B", {"g": 1.0}, 1.0, forget__concepts=["surgery"])])
    assert "no retain fact in common" in apart


def test_groups_of_runs_are_compared_on_the_seeds_that_they_share():
    npo = [run(f"n{seed}", EVERY, 0.75, seed=seed) for seed in (0, 1, 2)]
    worse = dict.fromkeys(EVERY, 0.0)
    other = [run(f"o{seed}", worse, 0.0, seed=seed, method___target_="a.Other") for seed in (1, 2, 3)]
    (named,) = differences_over_seeds([*npo, *other], {RETAIN_ACCURACY.key: RETAIN_ACCURACY}).items()
    assert named[0] == "method=Other"
    assert named[1][RETAIN_ACCURACY.key] == {"value": -0.75, "seeds": 2}
    assert differing([npo[0], other[0]]) == {"method": ["Npo", "Other"], "seed": ["0", "1"]}
    assert differences_over_seeds([npo[0], other[0]], {RETAIN_ACCURACY.key: RETAIN_ACCURACY}) == {}


def test_items_are_counted_by_who_answers_them_right():
    def choices(marks, split="forget_train"):
        return {key: Choice(key, key[0], split, None, 0, int(not right), right) for key, right in marks.items()}

    first = choices({"a1": True, "a2": True, "b1": False, "c1": True, "alone": True})
    second = choices({"a1": True, "a2": False, "b1": True, "c1": False, "other": True})
    forget, retain = changes(first, second)
    assert forget.as_dict() == {"both": 1, "only_first": 2, "only_second": 1, "neither": 0, "facts_changed": 3}
    assert [pair[0].id for pair in forget.only_first] == ["a2", "c1"]
    assert not any(retain.as_dict().values())
    assert changes_table("A", {"B": [forget]}).rows == (("B", "forget", "1", "2", "1", "0"),)
    unseen = choices({"a1": True}, "forget_unseen")
    assert not any(one.both for one in changes(unseen, unseen))
