"""What an item is about: the formula by hand, its bounds, and a mention in passing against a question about it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.concepts.concept import Concept
from duolearn_cli.concepts.hierarchy import Hierarchy
from duolearn_cli.concepts.matcher import Matcher
from duolearn_cli.data.about import about, last_sentence
from duolearn_cli.data.items import Item

HIERARCHY = Hierarchy(
    [
        Concept("heart", 1, "heart"),
        Concept("fever", 2, "fever"),
        Concept("hypertension", 4, "hypertension"),
        Concept("stenosis", 4, "aortic stenosis"),
        Concept("pyelonephritis", 4, "pyelonephritis"),
        Concept("stroke", 4, "stroke"),
    ]
)
MATCHER = Matcher(HIERARCHY)
SOUGHT, BOUNDARY = {"hypertension", "stenosis"}, {"stroke"}


def score(question, *options, sought=SOUGHT, boundary=BOUNDARY):
    item = Item("i", question, options or ("5 mg", "10 mg"), 0)
    return about(item, MATCHER.find, sought, boundary, lambda concept: HIERARCHY[concept].level)


@pytest.mark.parametrize(
    "question, options, expected",
    [
        ("Hypertension is treated with", ("a", "b"), 1.0),
        # Weights by level: hypertension 4, heart 1, fever 2.
        ("Hypertension, heart and fever?", ("a", "b"), 4 / 7),
        # Only the history mentions it: half of the whole text's share, because the last sentence mentions nothing.
        ("A woman has hypertension and fever. What now?", ("a", "b"), (4 / 6) / 2),
        ("A woman has hypertension and fever. Is it pyelonephritis?", ("a", "b"), (0 + 4 / 10) / 2),
        ("Which one?", ("hypertension", "b", "c", "d"), 0.25),
        ("Which one?", ("hypertension", "aortic stenosis", "c", "d"), 0.5),
        # A boundary concept belongs to both sides and counts for neither.
        ("Hypertension and stroke?", ("a", "b"), 1.0),
        ("Stroke?", ("stroke", "b"), 0.0),
        ("Fever and hypertension?", ("hypertension", "a", "b", "c"), 1 - (1 - 4 / 6) * (1 - 0.25)),
    ],
)
def test_by_hand(question, options, expected):
    assert score(question, *options) == pytest.approx(expected)


def test_a_mention_in_passing_scores_below_a_question_about_it():
    history = "A 60-year-old woman with a history of hypertension has fever and flank pain. "
    passing = score(f"{history}Which organism causes pyelonephritis?", "E. coli", "S. aureus")
    question = score("A 60-year-old woman has fever. Which drug is first for hypertension?", "A", "B")
    assert passing < 0.35 < question


def test_the_last_sentence():
    assert last_sentence(" One. Two 3.5 mg? ") == "Two 3.5 mg?"
    assert last_sentence("One only") == "One only" and last_sentence("") == ""


WORDS = st.lists(
    st.sampled_from(["hypertension", "fever", "heart", "stroke", "aortic stenosis", "x. ", "y"]), max_size=6
)


@given(WORDS, st.lists(WORDS, min_size=2, max_size=5))
def test_the_score_is_a_share_and_zero_only_without_a_mention(question, options):
    texts = [" ".join(words) for words in (question, *options)]
    value = score(*texts)
    assert 0 <= value <= 1
    assert (value == 0) == SOUGHT.isdisjoint(MATCHER.concepts(texts))
