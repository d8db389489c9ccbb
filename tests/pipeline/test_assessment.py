"""The evaluation of one model beyond answers to options, and what the cache stores of it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from duolearn_cli.pipeline.assessment import assess, summarise
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.report.terminal import Display


@pytest.fixture
def lab(study, tmp_path, monkeypatch):
    monkeypatch.setenv("DUOLEARN_CACHE", str(tmp_path / "cache"))
    # An answer without a letter that ROUGE knows.
    first, *others = study.splits.forget_heldout
    strange = replace(first, options=("+", *first.options[1:]), answer=0)
    splits = replace(study.splits, forget_heldout=(strange, *others))
    return Laboratory.open(replace(study, splits=splits), Display(), Run(tmp_path), is_main=False)


def test_what_is_kept_comes_back_as_it_was(lab):
    first = assess(lab.load("base"))
    kept = list(lab.cache.folder("base").glob("*.json"))
    assert {path.name.partition("-")[0] for path in kept} == {"answers", "written", "plain"}
    again = assess(lab.load("base"))
    assert (again.answers, again.written, again.plain) == (first.answers, first.written, first.plain)
    assert summarise(again) == summarise(first)
    (strange,) = [row for row in first.written if row.answer == "+"]
    assert strange.rouge_l_recall is strange.rouge_l_f1 is None
    # It has no score, and is no part of the mean; whether it is a text at all can be told.
    found = summarise(first)["written"]["forget"]
    asked = sum(row.split.startswith("forget") for row in first.written)
    assert (found["rouge_l_recall"]["n"], found["degenerate"]["n"]) == (asked - 1, asked)


def test_own_words_are_held_out_phrasings_unless_there_are_none(lab):
    assert {row.split for row in assess(lab.load("base")).written} == {"forget_heldout", "retain_heldout"}
    lab.study = replace(lab.study, splits=replace(lab.study.splits, forget_heldout=()))
    assert {row.split for row in assess(lab.load("base")).written} == {"forget_train", "retain_heldout"}


def test_none_are_asked_where_none_are_wanted(lab):
    config = lab.study.config.copy()
    config.evaluation.generate_items = 0
    lab.study = replace(lab.study, config=config)
    found = assess(lab.load("base"))
    assert found.written == [] and summarise(found)["written"] == {} and len(found.plain) == 61


def test_nothing_of_the_unlearned_model_is_kept(lab):
    unlearned = lab.unlearned()
    before = sorted(lab.cache.root.rglob("*.json"))
    assert json.dumps(summarise(assess(unlearned)))
    assert sorted(lab.cache.root.rglob("*.json")) == before
