"""The embedded facts are consistent."""

import re
from collections import Counter

import pytest

from duolearn_cli.concepts.hierarchy import read_hierarchy
from duolearn_cli.concepts.sources.embedded import FOLDER
from duolearn_cli.data.cleaning import fold
from duolearn_cli.data.readers.medmcqa import MedMCQA
from duolearn_cli.data.readers.minimed import Minimed, facts, to_medmcqa
from duolearn_cli.files import write_jsonl


@pytest.fixture(scope="module")
def items():
    return Minimed().load().items


def test_sizes():
    by_subject = Counter(fact.subject for fact in facts())
    by_topic = Counter(fact.topic for fact in facts() if fact.subject == "Psychiatry")
    assert len(facts()) >= 500
    assert len(by_subject) >= 10
    assert by_subject["Surgery"] >= 100
    assert min(by_topic[topic] for topic in ("Anxiety", "Depression", "Trauma")) >= 40


def test_every_fact_has_a_known_concept_and_a_level():
    hierarchy = read_hierarchy(FOLDER / "medical4.tsv")
    assert {fact.concept for fact in facts()} <= hierarchy.concepts.keys()
    assert {hierarchy[fact.concept].level for fact in facts()} == {1, 2, 3, 4}


def test_ids_and_questions_are_unique(items):
    assert len({item.id for item in items}) == len(items)
    assert len({fact.id for fact in facts()}) == len(facts())
    assert len({(fold(item.question), item.fact) for item in items}) == len(items)


def test_no_question_is_asked_for_two_facts_with_different_answers(items):
    answers = {}
    for item in items:
        first = answers.setdefault(fold(item.question), item)
        assert fold(first.answer_text) == fold(item.answer_text), (first.id, item.id)


def test_options_are_distinct_and_no_distractor_is_also_right(items):
    right = {}
    for fact in facts():
        right.setdefault(fact.id, {fold(fact.y)})
    wrong = {fact.id: {fold(answer) for answer in fact.wrong} for fact in facts()}
    for item in items:
        options = [fold(option) for option in item.options]
        assert len(set(options)) == len(options) == 4
        assert options[item.answer] in right[item.fact]
        assert set(options) - right[item.fact] <= wrong[item.fact]
        assert not right[item.fact] & wrong[item.fact]


def test_answer_letters_are_balanced(items):
    counts = Counter(item.answer for item in items)
    assert set(counts) == {0, 1, 2, 3}
    assert max(counts.values()) - min(counts.values()) <= 0.02 * len(items)


def test_every_fact_has_two_trained_and_two_heldout_phrasings_all_different(items):
    questions = {}
    for item in items:
        questions.setdefault(item.fact, {True: set(), False: set()})[item.heldout].add(fold(item.question))
    for by_use in questions.values():
        assert len(by_use[True]) >= 2 and len(by_use[False]) >= 2
        assert not by_use[True] & by_use[False]


def test_questions_do_not_give_the_answer_away(items):
    leaking = [item.id for item in items if re.search(rf"\b{re.escape(fold(item.answer_text))}\b", fold(item.question))]
    assert leaking == []


def test_exports_in_medmcqa_format_and_reads_back(items, tmp_path):
    path = tmp_path / "minimed.jsonl"
    write_jsonl(path, [to_medmcqa(item) for item in items])
    loaded = MedMCQA(path=str(path), on_bad_row="error").load()
    back = loaded.items
    assert loaded.policy == "error"
    assert [(i.id, i.question, i.options, i.answer) for i in back] == [
        (i.id, i.question, i.options, i.answer) for i in items
    ]
