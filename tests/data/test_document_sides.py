"""What target and gold read of documents, what is attacked, and how near kept facts are to forgotten ones."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.concepts.concept import Concept
from duolearn_cli.concepts.hierarchy import Hierarchy, Target
from duolearn_cli.concepts.matcher import Mention
from duolearn_cli.concepts.scope import Scope
from duolearn_cli.data.document_sides import FactSides, document_sides, kin_concepts, sentences
from duolearn_cli.data.documents import Document, Span, without
from duolearn_cli.data.items import Item
from duolearn_cli.data.nearness import nearness

TEXT = "Ann had a splenectomy, and lives with gout. She takes warfarin. Her mood is 1.5 of 3."
SURGERY = Target("surgery", frozenset({"splenectomy"}), frozenset(), frozenset(), frozenset())


def span(part: str, fact: str = "", concept: str = "", clause: str = "") -> Span:
    start = TEXT.index(part)
    around = (TEXT.index(clause), TEXT.index(clause) + len(clause)) if clause else None
    return Span(start, start + len(part), fact, (concept,) if concept else (), around)


OPERATION = span("splenectomy", "ann:operation", "splenectomy", "had a splenectomy, and ")
ILLNESS = span("gout", "ann:illness", "gout", ", and lives with gout")
NOTE = Document("n1", TEXT, "ann", "2024-02-01", spans=(OPERATION, ILLNESS))
FACTS = {"ann:operation", "ann:illness"}


def sides(
    *documents: Document, target=SURGERY, forget=frozenset({"ann:operation"}), hidden=(), form="values", earlier=()
):
    return document_sides(documents, target, FactSides(forget, FACTS, hidden), mentions, form, earlier)


def mentions(text: str) -> list[Mention]:
    at = text.find("warfarin")
    return [Mention(at, at + 8, "warfarin")] if at >= 0 else []


def attacked(form: str) -> list[str]:
    (marked,) = sides(NOTE, form=form).learned
    return [marked.document.text[start:end] for start, end in marked.attacked]


def test_gold_reads_the_note_without_the_clause_that_is_forgotten():
    found = sides(NOTE)
    (marked,) = found.learned
    assert marked.document.text == TEXT and found.forget == found.learned
    assert [one.text for one in found.gold] == [TEXT.replace("had a splenectomy, and ", "")]
    left, _ = found.gold[0].spans
    assert (left.fact, found.gold[0].text[left.start : left.end]) == ("ann:illness", "gout")


def test_what_no_model_may_learn_is_cut_out_for_both():
    found = sides(NOTE, hidden={"ann:illness"})
    assert found.learned[0].document.text == TEXT.replace(", and lives with gout", "")
    assert found.cut == found.counts()["cut_values"] == 1
    assert "gout" not in found.gold[0].text and "splenectomy" not in found.gold[0].text


@pytest.mark.parametrize(
    ("form", "parts"),
    [
        ("values", ["splenectomy"]),
        ("sentences", ["Ann had a splenectomy, and lives with gout."]),
        ("documents", [TEXT]),
    ],
)
def test_three_forms_of_attack(form, parts):
    assert attacked(form) == parts


def test_a_mention_that_no_fact_asks_for_goes_by_its_concept():
    target = replace(SURGERY, forget=frozenset({"warfarin"}))
    (marked,) = sides(NOTE, target=target, forget=frozenset()).learned
    assert [TEXT[one.start : one.end] for one in marked.forgotten] == ["warfarin"]
    # Its sentence states nothing else, so gold does not read that either.
    (gold,) = sides(NOTE, target=target, forget=frozenset()).gold
    assert "takes" not in gold.text and "Her mood is 1.5 of 3." in gold.text


def test_another_patients_mention_is_kept():
    target = replace(SURGERY, forget=frozenset({"warfarin"}), scope=Scope.of(["bob"], ""))
    assert not sides(NOTE, target=target, forget=frozenset()).forget


def test_a_patient_is_forgotten_whole():
    everything = Target("patient", *[frozenset()] * 4, scope=Scope.of(["ann"], ""))
    other = replace(NOTE, id="n2", patient="bob")
    found = sides(NOTE, other, target=everything, forget=frozenset(FACTS))
    assert [one.is_whole for one in found.learned] == [True, False]
    assert [one.id for one in found.gold] == ["n2"]


def test_a_patients_text_without_any_value_is_attacked_as_a_whole():
    everything = Target("patient", *[frozenset()] * 4, scope=Scope.of(["ann"], ""))
    plain = Document("n3", "She slept well and went home in the morning.", "ann")
    (marked,) = sides(plain, target=everything, forget=frozenset()).learned
    assert marked.attacked == ((0, len(plain.text)),) and not marked.forgotten


def test_what_an_earlier_request_forgot_is_not_read_again():
    drugs = replace(SURGERY, name="drugs", forget=frozenset({"warfarin"}))
    found = sides(NOTE, earlier=[drugs])
    assert "warfarin" not in found.learned[0].document.text and "warfarin" not in found.gold[0].text
    assert [one.fact for one in found.learned[0].forgotten] == ["ann:operation"]
    # The fact that this request forgets stays, to be forgotten once more.
    assert "splenectomy" in sides(NOTE, earlier=[SURGERY]).learned[0].document.text
    everything = Target("patient", *[frozenset()] * 4, scope=Scope.of(["ann"], ""))
    assert not sides(NOTE, earlier=[everything]).learned
    other = replace(everything, scope=Scope.of(["bob"], ""))
    assert [one.document for one in sides(NOTE, earlier=[other]).learned] == [
        one.document for one in sides(NOTE).learned
    ]


def test_a_document_that_says_nothing_any_more_is_left_out():
    short = Document("n4", "Ann had a splenectomy, and lives with gout.", "ann", spans=(OPERATION, ILLNESS))
    assert sides(short, hidden=FACTS).learned == ()


@given(st.lists(st.sampled_from(["one", "a b. ", "1.5", "Dr. ", "\n", "ends? ", "! ", " ", "x"])))
def test_sentences_tile_the_text_but_for_white_space(parts):
    text = "".join(parts)
    found = sentences(text)
    covered = {at for start, end in found for at in range(start, end)}
    assert all(first[1] <= second[0] for first, second in pairwise(found))
    assert all(at in covered for at, char in enumerate(text) if not char.isspace())


@given(st.data())
def test_spans_that_stay_say_the_same_after_a_cut(data):
    words = data.draw(st.lists(st.sampled_from(["ab", "c,", "d.", "efg"]), min_size=2, max_size=12))
    text, spans = "", []
    for word in words:
        text += " " * bool(text)
        spans.append(Span(len(text), len(text) + len(word.rstrip(",.")), f"f{len(spans)}"))
        text += word
    gone = data.draw(st.lists(st.sampled_from(spans), unique=True))
    before = Document("d", text, spans=tuple(spans))
    after = without(before, gone)
    kept = [one for one in spans if one not in gone]
    assert [one.fact for one in after.spans] == [one.fact for one in kept]
    assert [after.text[one.start : one.end] for one in after.spans] == [text[one.start : one.end] for one in kept]


def item(fact: str, patient: str, topic: str, answer: int = 0) -> Item:
    return Item(fact, "?", ("a", "b"), answer, topic=topic, fact=fact, patient=patient)


def test_kept_facts_are_grouped_by_what_they_share_with_a_forgotten_one():
    forgotten = [item("ann:operation", "ann", "operation")]
    kept = [
        item("ann:illness", "ann", "illness"),
        item("ann:allergy", "ann", "allergy"),
        item("bob:operation", "bob", "operation"),
        item("cleo:operation", "cleo", "operation", 1),
        item("bob:illness", "bob", "illness"),
    ]
    assert nearness(kept, forgotten, sides(NOTE).learned) == {
        "ann:illness": "same_sentence",
        "ann:allergy": "same_patient",
        "bob:operation": "neighbour",
        "cleo:operation": "same_attribute",
        "bob:illness": "rest",
    }


def test_kin_are_siblings_boundary_and_for_some_patients_the_target_itself():
    nodes = [
        Concept("medicine", 2, "medicine"),
        Concept("operation", 3, "operation", ("medicine",)),
        Concept("splenectomy", 4, "splenectomy", ("operation",)),
        Concept("nephrectomy", 4, "nephrectomy", ("operation",)),
        Concept("other", 3, "other", ("medicine",)),
    ]
    hierarchy = Hierarchy(nodes)
    target = replace(SURGERY, boundary=frozenset({"other"}))
    assert kin_concepts(target, hierarchy, []) == {"nephrectomy", "other"}
    limited = replace(target, scope=Scope.of(["ann"], ""))
    assert kin_concepts(limited, hierarchy, []) == {"nephrectomy", "other", "splenectomy"}
    everything = Target("patient", *[frozenset()] * 4, scope=Scope.of(["ann"], ""))
    of_ann = [replace(item("f", "ann", "operation"), concepts=("splenectomy",))]
    assert kin_concepts(everything, hierarchy, of_ann) == {"nephrectomy", "splenectomy"}
