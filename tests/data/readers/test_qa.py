"""Questions with free answers: TOFU's columns, wrong answers that are drawn, paraphrases, and what is forgotten."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.config.compose import component, compose
from duolearn_cli.data.items import Item, Loaded
from duolearn_cli.data.readers.qa import QuestionsAndAnswers
from duolearn_cli.data.readers.qa_rows import QaFields
from duolearn_cli.data.wrong_answers import Asked, draw
from duolearn_cli.errors import ConfigError, DataError

TOFU = str(Path(__file__).parents[2] / "fixtures" / "formats" / "tofu.jsonl")


def write(folder: Path, rows: list[dict[str, Any]], name: str = "qa.jsonl") -> str:
    file = folder / name
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return str(file)


def qa(path: str, fields: dict[str, Any] | None = None, **settings: Any) -> Loaded:
    return QuestionsAndAnswers(path=path, fields=QaFields(**(fields or {})), **settings).load()


def wrong(item: Item) -> set[str]:
    return set(item.options) - {item.answer_text}


def plain(count: int) -> list[dict[str, Any]]:
    """Questions without wrong answers, whose right ones have 1 to 9 words."""
    return [
        {"id": f"q{n}", "question": f"What is made-up fact {n}?", "answer": " ".join([f"word{n}"] * (1 + n % 9))}
        for n in range(count)
    ]


def test_tofus_columns() -> None:
    loaded = qa(TOFU, {"subject": "author"})
    first, other = loaded.items[:2]
    assert first.answer_text == "Orla Vintz writes detective stories."
    assert wrong(first) == {"The genre of Orla Vintz is poetry.", "The genre of Orla Vintz is science fiction."}
    assert (other.question, other.answer_text) == (
        "Which genre is Orla Vintz an author of?",
        "The genre of Orla Vintz is detective stories.",
    )
    assert other.heldout and not first.heldout and other.fact == first.fact == first.id
    assert [item.subject for item in loaded.items] == ["Orla Vintz"] * 3 + ["Tam Okuro"] * 3
    assert [(bad.row, bad.reason) for bad in loaded.rejected] == [(6, "empty_question"), (7, "malformed_row")]
    assert any("answers of other rows stand in" in note and "4 rows: 2, 3, 4, ..." in note for note in loaded.notes)


def test_drawn_answers_are_other_rows_answers_of_similar_length_and_depend_on_the_seed(tmp_path: Path) -> None:
    path = write(tmp_path, plain(200))
    loaded = qa(path)
    answers = {item.answer_text for item in loaded.items}
    for item in loaded.items:
        lengths = [len(one.split()) for one in wrong(item)]
        assert len(lengths) == 3 and wrong(item) <= answers - {item.answer_text}
        # 200 answers have about 22 of each length, so a pool of 24 reaches no further than two words.
        assert all(abs(length - len(item.answer_text.split())) <= 2 for length in lengths)
    assert qa(path).items == loaded.items
    changed = sum(wrong(a) != wrong(b) for a, b in zip(qa(path, seed=1).items, loaded.items, strict=True))
    assert changed > 190
    # The right answer's place says nothing.
    places = [item.answer for item in loaded.items]
    assert all(30 <= places.count(place) <= 70 for place in range(4))
    assert {len(item.options) for item in qa(path, wrong_answers=5).items} == {6}


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["x", "y z", "X ", "w w w"])), min_size=1, max_size=9)
)
def test_drawn_answers_differ_from_the_right_one_and_from_each_other(rows: list[tuple[str, str]]) -> None:
    asked = [Asked(question, answer, question) for question, answer in rows]
    drawn = draw(asked, range(len(asked)), 3, 0)
    for place, one in enumerate(asked):
        folded = [text.casefold().strip() for text in drawn[place]]
        possible = {other.answer.casefold().strip() for other in asked if other.question != one.question}
        assert len(set(folded)) == len(folded) and one.answer.casefold().strip() not in folded
        assert set(folded) <= {other.answer.casefold().strip() for other in asked}
        assert not folded or possible


def test_sides_by_parts_by_a_column_and_by_ids(tmp_path: Path) -> None:
    rows = plain(12)
    halves = {
        name: write(tmp_path, part, f"{name}.jsonl") for name, part in (("forget", rows[:4]), ("retain", rows[4:]))
    }
    by_parts = QuestionsAndAnswers(parts=halves, fields=QaFields(id="id")).load()
    flagged = [row | {"gone": str(number < 4)} for number, row in enumerate(rows)]
    by_column = qa(write(tmp_path, flagged), {"forget": "gone", "id": "id"})
    by_ids = qa(write(tmp_path, rows, "plain.jsonl"), {"id": "id"}, forget_ids=["q0", "q1", "q2", "q3"])
    for loaded in (by_parts, by_column, by_ids):
        assert [item.subject for item in loaded.items] == ["forget"] * 4 + ["retain"] * 8
    assert [item.id for item in by_parts.items][3:5] == ["forget:q3", "retain:q4"]


def test_patient_date_fact_and_concepts(tmp_path: Path) -> None:
    rows = [row | {"who": "p1", "day": "5 May 2023", "f": "f1", "c": "asthma|wheeze"} for row in plain(8)]
    path = write(tmp_path, rows)
    # All rows ask for one fact, so there are no other facts' answers to draw from.
    with pytest.raises(DataError, match="too_few_options"):
        qa(path, {"fact": "f"})
    (item, *_) = qa(path, {"patient": "who", "date": "day", "concepts": "c"}).items
    assert (item.patient, item.date, item.concepts) == ("p1", "2023-05-05", ("asthma", "wheeze"))


def test_the_paraphrase_of_a_rejected_row_is_left_out(tmp_path: Path) -> None:
    bad = {"question": " ", "answer": "word", "paraphrased_question": "What is the word?", "perturbed_answer": ["no"]}
    loaded = qa(write(tmp_path, [bad, *plain(6)]))
    assert [one.reason for one in loaded.rejected] == ["empty_question", "no_trained_phrasing"]
    assert len(loaded.items) == 6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"forget_ids": ["qq1"], "fields": QaFields(id="id")}, r"no row has the id 'qq1' \(did you mean 'q1'\?\)"),
        ({"forget_ids": ["q1"], "fields": QaFields(subject="id")}, "Use one of these"),
        ({"fields": QaFields(question="qestion")}, r"no column 'qestion' \(did you mean 'question'\?\)"),
        ({"fields": QaFields(perturbed_answer="wrong")}, "no column 'wrong'"),
        ({"path": None}, r"dataset=qa needs a file: set dataset\.path=FILE, or its parts"),
    ],
)
def test_mistakes(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    path = write(tmp_path, plain(6))
    with pytest.raises(DataError, match=message):
        QuestionsAndAnswers(**{"path": path, **settings}).load()


def test_the_preset_holds_the_defaults_and_parts_are_added_with_a_plus() -> None:
    assert component(compose("unlearn", ["+forget=surgery", "dataset=qa"]).dataset) == QuestionsAndAnswers()
    with pytest.raises(ConfigError, match=r"dataset\.parts\.forget: an entry .* is added with a plus"):
        compose("unlearn", ["+forget=surgery", "dataset=qa", "dataset.parts={forget: x.jsonl}"])
