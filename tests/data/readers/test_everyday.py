"""The embedded everyday facts are consistent."""

from collections import Counter

import pytest

from duolearn_cli.concepts.hierarchy import read_hierarchy
from duolearn_cli.concepts.sources.embedded import FOLDER as HIERARCHIES
from duolearn_cli.data.cleaning import fold
from duolearn_cli.data.readers.embedded_tables import read_tables
from duolearn_cli.data.readers.everyday import FOLDER, Everyday


@pytest.fixture(scope="module")
def items():
    return Everyday().load().items


def test_there_are_enough_facts_of_every_subject(items):
    by_subject = Counter(fact.subject for fact in read_tables(FOLDER))
    assert by_subject.total() == len({item.fact for item in items}) == 346
    assert min(by_subject.values()) >= 20 and len(by_subject) == 9


def test_every_fact_has_a_concept_whose_label_is_its_own():
    hierarchy = read_hierarchy(HIERARCHIES / "everyday.tsv")
    for fact in read_tables(FOLDER):
        assert hierarchy[fact.concept].subjects == (f"{fact.subject}/{fact.topic}",)
        assert hierarchy[hierarchy[fact.concept].parents[0]].subjects == (fact.subject,)


def test_ids_and_questions_are_unique_and_each_letter_is_right_once(items):
    assert len({item.id for item in items}) == len(items)
    assert len({(fold(item.question), item.fact) for item in items}) == len(items)
    by_fact = Counter((item.fact, item.answer) for item in items)
    assert set(by_fact.values()) == {1} and Counter(item.heldout for item in items) == {True: 692, False: 692}


def test_options_differ_and_no_question_holds_its_answer(items):
    for item in items:
        assert len({fold(option) for option in item.options}) == 4, item.id
        words = fold(item.question).split()
        # "Add the numbers: 5 + 5" may well hold a number that is an answer elsewhere.
        assert item.subject == "Arithmetic" or fold(item.answer_text) not in words, item.id
