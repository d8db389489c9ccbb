"""Subjects from concepts: votes by hand, a fitted model where votes mislead, no use of the item's own fact."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.concepts.concept import Concept
from duolearn_cli.concepts.hierarchy import Hierarchy
from duolearn_cli.data.items import Item
from duolearn_cli.data.subject_recovery import Guess, Recovery, cross_guess, label_of, votes

HIERARCHY = Hierarchy(
    [
        Concept("surgery", 3, "surgery", subjects=("Surgery",)),
        Concept("medicine", 3, "medicine", subjects=("Medicine",)),
        Concept("psychiatry", 3, "psychiatry", subjects=("Psychiatry",)),
        Concept("anxiety", 3, "anxiety", ("psychiatry",), subjects=("Psychiatry/Anxiety",)),
        Concept("hernia", 4, "hernia", ("surgery",)),
        Concept("colitis", 4, "colitis", ("surgery", "medicine")),
        Concept("phobia", 4, "phobia", ("anxiety",)),
        Concept("orphan", 4, "orphan"),
    ]
)
LABELS = {"Surgery", "Medicine", "Psychiatry"}


def test_votes_by_hand():
    assert votes(["hernia"], HIERARCHY, LABELS) == {"Surgery": 1.0}
    assert votes(["hernia", "colitis"], HIERARCHY, LABELS) == {"Surgery": 0.75, "Medicine": 0.25}
    assert votes(["orphan"], HIERARCHY, LABELS) == {} == votes([], HIERARCHY, LABELS)


def test_a_topic_counts_for_its_subject_unless_the_target_names_it():
    assert votes(["phobia"], HIERARCHY, LABELS) == {"Psychiatry": 1.0}
    assert votes(["phobia"], HIERARCHY, {*LABELS, "Psychiatry/Anxiety"}) == {"Psychiatry/Anxiety": 1.0}
    item = Item("i", "?", ("a", "b"), 0, "Psychiatry", "Anxiety")
    assert label_of(item, {"Psychiatry/Anxiety"}) == "Psychiatry/Anxiety"
    assert label_of(item, {"Psychiatry/Trauma"}) == "Psychiatry"
    assert label_of(Item("i", "?", ("a", "b"), 0), {"Psychiatry/Anxiety"}) is None


@given(st.lists(st.sampled_from(sorted(HIERARCHY.concepts)), max_size=8))
def test_votes_are_shares(concepts):
    shares = votes(concepts, HIERARCHY, LABELS)
    assert not shares or sum(shares.values()) == pytest.approx(1)
    assert set(shares) <= LABELS and all(share > 0 for share in shares.values())


def test_with_few_labelled_items_the_votes_decide():
    recovery = Recovery(HIERARCHY, [["hernia"]] * 10, ["Medicine"] * 10, LABELS)
    assert recovery.guess([["hernia"], []]) == [Guess("Surgery", 1.0), Guess(None, 0.0)]


def test_many_labelled_items_teach_how_the_data_set_labels():
    # This data set files colitis under Medicine, which the votes cannot know.
    concepts, given_labels = [["colitis"], ["hernia"]] * 40, ["Medicine", "Surgery"] * 40
    assert Recovery(HIERARCHY, [], [], LABELS).guess([["colitis"]])[0].confidence == 0.5
    (guess,) = Recovery(HIERARCHY, concepts, given_labels, LABELS).guess([["colitis"]])
    assert guess.label == "Medicine" and guess.confidence > 0.8


def test_cross_guesses_never_see_the_items_own_fact():
    # Labels are random for each fact: a guess that used the fact's other phrasing would be right, an honest one is only
    # right by chance.
    draw = random.Random(0)
    ids = [f"c{n}" for n in range(100)]
    hierarchy = Hierarchy(Concept(name, 4, name) for name in ids)
    label = {name: draw.choice(["A", "B"]) for name in ids}
    concepts = [[name] for name in ids for _ in range(2)]
    truth = [label[name] for (name,) in concepts]
    guesses = cross_guess(hierarchy, concepts, truth, [name for (name,) in concepts], {"A", "B"})
    right = sum(guess.label == true for guess, true in zip(guesses, truth, strict=True))
    assert right < 130
    peeking = Recovery(hierarchy, concepts, truth, {"A", "B"}).guess(concepts)
    assert sum(guess.label == true for guess, true in zip(peeking, truth, strict=True)) > 190


def test_fitting_uses_one_thread(monkeypatch):
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_info, threadpool_limits

    threads, fit = set(), LogisticRegression.fit

    def recorded(self, *args, **kwargs):
        threads.update(pool["num_threads"] for pool in threadpool_info())
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(LogisticRegression, "fit", recorded)
    with threadpool_limits(limits=2):
        Recovery(HIERARCHY, [["hernia"], ["phobia"]] * 25, ["Surgery", "Psychiatry"] * 25, LABELS)
    assert threads == {1}
