"""Probes: texts that stop before the words that are asked for, beside words of other patients' texts."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from duolearn_cli.concepts.concept import Concept
from duolearn_cli.concepts.hierarchy import Hierarchy
from duolearn_cli.concepts.matcher import Matcher
from duolearn_cli.data.continuation import refuse_letters, seam
from duolearn_cli.data.documents import Document, Span, Window
from duolearn_cli.data.probes import mention_probes, question_before, with_facts
from duolearn_cli.data.verbatim_probes import probes, verbatim_probes, with_passages
from duolearn_cli.data.windows import windows
from duolearn_cli.errors import ConfigError

DRUGS = ("lisinopril", "metformin", "warfarin", "digoxin", "ibuprofen", "codeine", "insulin")
ILLS = ("asthma", "gout", "diabetes", "angina")
HIERARCHY = Hierarchy(
    [
        Concept("drug", 3, "drug"),
        Concept("ill", 3, "illness"),
        *(Concept(name, 4, name, ("drug",)) for name in DRUGS),
        *(Concept(name, 4, name, ("ill",)) for name in ILLS),
        Concept("severe", 4, "severe gout", ("gout",)),
    ]
)
FIND = Matcher(HIERARCHY).find


def note(number: int, ill: str, drug: str, **more: object) -> Document:
    text = f"Patient number {number} came to the clinic today. For years the man has had {ill} and takes {drug} daily."
    return Document(f"d{number}", text, f"p{number}", "2024-03-31", "Clinic letter", **more)  # type: ignore[arg-type]


NOTES = [note(n, ILLS[n % 4], DRUGS[n % 7]) for n in range(14)]
WHOLE = [Window(one, 0, 0, len(one.text)) for one in NOTES]


def test_every_mention_becomes_an_item_that_continues_the_note() -> None:
    items = mention_probes(WHOLE, FIND, HIERARCHY)
    assert len(items) == 28
    for item in items:
        document = next(one for one in NOTES if one.id == item.id.partition("@")[0])
        assert document.text.startswith(item.question + seam(item.question) + item.answer_text)
        assert item.continues and not item.heldout and item.fact == f"{document.patient}:{item.concepts[0]}"
        assert (item.patient, item.date, item.subject) == (document.patient, "2024-03-31", "Clinic letter")
        # Three other illnesses, or five of six other drugs: kin of the answer, and never what this patient has.
        group = ILLS if item.answer_text in ILLS else DRUGS
        assert set(item.options) <= set(group) and len(item.options) == (4 if group is ILLS else 6)
        assert len(set(item.options)) == len(item.options)


def test_options_are_drawn_by_the_seed_and_the_right_ones_place_says_nothing() -> None:
    first, other = (mention_probes(WHOLE, FIND, HIERARCHY, seed=seed) for seed in (0, 1))
    assert first == mention_probes(WHOLE, FIND, HIERARCHY, seed=0)
    assert sum(a.options != b.options for a, b in zip(first, other, strict=True)) > 20
    places = Counter(item.answer for seed in range(20) for item in mention_probes(WHOLE, FIND, HIERARCHY, seed=seed))
    assert all(places[place] >= 60 for place in range(4))


def test_what_the_patient_has_too_and_what_lies_above_or_below_is_no_wrong_option() -> None:
    text = "This other note of the same man says that he has angina and severe gout."
    again = Document("again", text, "p0")
    items = mention_probes([*WHOLE, Window(again, 0, 0, len(text))], FIND, HIERARCHY)
    own = [item for item in items if item.patient == "p0"]
    assert len(own) == 4
    asthma = next(item for item in own if item.answer_text == "asthma")
    assert set(asthma.options) == {"asthma", "gout", "diabetes"} and "angina" not in asthma.options
    gout = next(item for item in items if item.answer_text == "gout")
    assert "severe gout" not in gout.options
    # The one mention with another parent has no kin: the same level decides.
    severe = next(item for item in own if item.answer_text == "severe gout")
    assert len(severe.options) == 6 and "gout" not in severe.options


@pytest.mark.parametrize(
    ("before", "answer", "question"),
    [
        ("one two three ", "gout", "one two three"),
        ("one two three\n", "gout", "one two three\n"),
        ("one two three (", "gout", "one two three ("),
        ("one two three ( ", "gout", "one two three ( "),
        ("one two three-", "gout", None),
        ('one two three "', "gout", None),
        ("one two ", "gout", None),
        ("one Gout, three ", "gout", None),
        ("one gouty three ", "gout", "one gouty three"),
    ],
)
def test_the_question_and_the_answer_join_into_the_text(before: str, answer: str, question: str | None) -> None:
    text = f"Earlier. {before}{answer} later"
    start = len(f"Earlier. {before}")
    assert question_before(text, 9, start, start + len(answer), 3) == question


def test_annotated_spans_are_asked_with_their_own_facts_and_concepts() -> None:
    drug, ill = "Beta-Zorin", "the old trouble"
    made = []
    for number, document in enumerate(NOTES):
        text = document.text.replace(ILLS[number % 4], f"{ill} {number}").replace(DRUGS[number % 7], f"{drug}-{number}")
        spans = [
            Span(text.index(ill), text.index(ill) + len(f"{ill} {number}"), f"f{number}"),
            Span(text.index(drug), text.index(drug) + len(f"{drug}-{number}"), "", (DRUGS[number % 7], "unknown")),
        ]
        made.append(replace(document, text=text, spans=tuple(spans)))
    items = mention_probes([Window(one, 0, 0, len(one.text)) for one in made], FIND, HIERARCHY)
    assert len(items) == 28
    facts = {item.fact for item in items}
    assert {"f0", "f13", "p0:lisinopril"} <= facts
    # Without a concept the others without one are options, and those that begin alike are left out.
    unnamed = next(item for item in items if item.fact == "f1")
    assert all(option.startswith(ill) for option in unnamed.options) and f"{ill} 1" in unnamed.options
    assert not any(a != b and a.startswith(b) for a in unnamed.options for b in unnamed.options)
    named = next(item for item in items if item.fact == "p0:lisinopril")
    assert named.concepts == ("lisinopril",) and all(option.startswith(drug) for option in named.options)


def test_every_mention_gets_the_fact_that_a_probe_asks_for() -> None:
    text = f"{NOTES[0].text} He has had asthma since 2010."
    twice = replace(NOTES[0], text=text, spans=(Span(8, 14, "own", ("unknown",)),))
    marked = with_facts(twice, FIND, HIERARCHY)
    shown = [(text[span.start : span.end], span.fact, span.concepts) for span in marked.spans]
    assert shown == [
        ("number", "own", ()),
        ("asthma", "p0:asthma", ("asthma",)),
        ("lisinopril", "p0:lisinopril", ("lisinopril",)),
        ("asthma", "p0:asthma", ("asthma",)),
    ]
    assert with_facts(marked, FIND, HIERARCHY) == marked
    facts = {item.fact for item in mention_probes([*WHOLE[1:], Window(twice, 0, 0, len(text))], FIND, HIERARCHY)}
    assert {"p0:asthma", "p0:lisinopril"} <= facts


def test_each_mention_is_asked_in_one_window_from_a_sentences_beginning() -> None:
    filler = "The weather was fine and the nurse wrote nothing more of note here. "
    documents = [replace(one, text=filler * 3 + one.text) for one in NOTES]
    cut = [window for one in documents for window in windows(one, 40, 16, lambda text: len(text.split()))]
    assert len(cut) > len(documents)
    items = mention_probes(cut, FIND, HIERARCHY)
    assert sorted(item.id for item in items) == sorted({item.id for item in items}) and len(items) == 28
    assert all(item.question.startswith(("The weather", "Patient number", "For years")) for item in items)


def test_without_another_text_nothing_is_asked() -> None:
    assert mention_probes(WHOLE[:1], FIND, HIERARCHY) == ()


def story(number: int, paragraphs: int = 2) -> Document:
    draw = random.Random(number)
    words = ["harbour", "ferry", "bridge", "captain", "ladder", "bread", "lighthouse", "storm", "school"]

    def sentence() -> str:
        return " ".join(draw.choices(words, k=draw.randint(5, 9))).capitalize() + "."

    text = "\n\n".join(" ".join(sentence() for _ in range(4)) for _ in range(paragraphs))
    return Document(f"s{number}", text, subject="forget" if number % 2 else "retain")


def test_paragraphs_are_continued_by_their_next_sentence() -> None:
    stories = [story(number) for number in range(6)]
    items = verbatim_probes([Window(one, 0, 0, len(one.text)) for one in stories])
    assert len(items) == 12 and len({item.fact for item in items}) == 12
    texts = {one.id: one.text for one in stories}
    for item in items:
        name = item.id.partition("@")[0]
        paragraph = next(one for one in texts[name].split("\n\n") if item.question in one)
        assert paragraph.startswith(f"{item.question} {item.answer_text}") and len(item.question.split()) >= 8
        assert item.question.endswith(".") and item.answer_text.endswith(".") and item.answer_text.count(".") == 1
        wrong = [option for option in item.options if option != item.answer_text]
        assert len(wrong) == 5 and not any(option in texts[name] for option in wrong)
        assert item.subject == ("forget" if int(name[1:]) % 2 else "retain") and item.continues


def test_sentences_that_are_asked_become_spans_with_their_facts() -> None:
    stories = [story(number) for number in range(6)]
    items = verbatim_probes([Window(one, 0, 0, len(one.text)) for one in stories])
    every = with_passages(stories, items)
    marked = every[1]
    own = [item for item in items if item.id.startswith("s1@")]
    shown = [(span.fact, marked.text[span.start : span.end]) for span in marked.spans]
    assert shown == [(item.fact, item.answer_text) for item in own] and len(shown) == 2
    # Nothing is marked twice.
    assert with_passages(every, items) == every


def test_verbatim_items_stay_within_own_parts() -> None:
    stories = [story(number, paragraphs=6) for number in range(4)]
    cut = [window for one in stories for window in windows(one, 60, 20, lambda text: len(text.split()))]
    items = verbatim_probes(cut)
    own = {one.id: [(window.own, window.end) for window in cut if window.document is one] for one in stories}
    for item in items:
        name, _, start = item.id.partition("@")
        assert sum(low <= int(start) < high for low, high in own[name]) == 1
    assert len({item.id for item in items}) == len(items) > 12


def test_documents_without_mentions_get_verbatim_items() -> None:
    stories = [story(number) for number in range(3)]
    items = probes([*WHOLE, *(Window(one, 0, 0, len(one.text)) for one in stories)], FIND, HIERARCHY)
    assert len(items) == 28 + 6 and [item.id[0] for item in items] == ["d"] * 28 + ["s"] * 6


def test_letters_are_refused() -> None:
    items = mention_probes(WHOLE, FIND, HIERARCHY)
    refuse_letters(items, "cloze")
    refuse_letters([replace(item, continues=False) for item in items], "letter")
    with pytest.raises(
        ConfigError, match=r"prompt\.form=letter: item d0@.* continues a text.* Fix: prompt\.form=cloze"
    ):
        refuse_letters(items, "letter")
