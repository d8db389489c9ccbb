"""All reasons for rejecting a row, and what is accepted as a number, a letter or a text."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.data.cleaning import clean, fold, whole_number
from duolearn_cli.data.items import Item, Rejected, collect
from duolearn_cli.data.readers.checks import build, content_id
from duolearn_cli.data.readers.raw import Raw
from duolearn_cli.errors import ConfigError, DataError

GOOD = Raw(
    source="t.csv",
    row=7,
    id="q1",
    question=" Which organ stores bile? ",
    options=("Liver", "Gallbladder", "Spleen", "Colon"),
    answer=2,
    answer_kind="index1",
)


def item(**changes: object) -> Item:
    """Return the item of GOOD with `changes`, which must be accepted."""
    built = build(replace(GOOD, **changes))
    assert isinstance(built, Item), built
    return built


def test_good_row() -> None:
    built = item(subject=" Surgery", topic="", explanation=None, concepts=("a ", "", "b", "a"), fact="f")
    assert (built.question, built.answer_text, built.answer) == ("Which organ stores bile?", "Gallbladder", 1)
    assert (built.subject, built.topic, built.explanation) == ("Surgery", None, None)
    assert (built.concepts, built.fact_id, built.source, built.row) == (("a", "b"), "f", "t.csv", 7)


@pytest.mark.parametrize(
    ("changes", "reason", "detail"),
    [
        ({"question": " \n"}, "empty_question", "empty"),
        ({"question": float("nan")}, "empty_question", "empty"),
        ({"options": ("a", None, "c")}, "empty_option", "option 2 of 3"),
        ({"options": ("a", "Beta  Cell", "beta cell")}, "duplicate_options", "options 2 and 3"),
        ({"options": ("a",)}, "too_few_options", "1 options"),
        ({"options": ()}, "too_few_options", "0 options"),
        ({"options": tuple(range(27))}, "too_many_options", "27 options"),
        ({"answer": None}, "missing_answer", "empty"),
        ({"answer": " "}, "missing_answer", "empty"),
        ({"answer": "two"}, "answer_not_a_number", "'two'"),
        ({"answer": True}, "answer_not_a_number", "True"),
        ({"answer": 2.5}, "answer_not_a_number", "2.5"),
        ({"answer": 0}, "answer_out_of_range", "not one of the 4 options"),
        ({"answer": 5}, "answer_out_of_range", "not one of the 4 options"),
        ({"answer": -1, "answer_kind": "index0"}, "answer_out_of_range", "-1"),
        ({"answer": "E", "answer_kind": "letter"}, "answer_out_of_range", "'E'"),
        ({"answer": "AB", "answer_kind": "letter"}, "answer_not_a_letter", "'AB'"),
        ({"answer": "3", "answer_kind": "letter"}, "answer_not_a_letter", "'3'"),
        ({"answer": "Kidney", "answer_kind": "text"}, "answer_text_mismatch", "not one of the options"),
        ({"answer_text": "Spleen"}, "answer_text_mismatch", "is not option 2"),
        ({"question": {"text": "?"}}, "malformed_row", "question is a dict"),
        ({"options": ("a", ["b"])}, "malformed_row", "option 2 is a list"),
        ({"concepts": ("a", ["b"])}, "malformed_row", "concept 2 is a list"),
        ({"heldout": "perhaps"}, "malformed_row", "heldout is 'perhaps'; true or false"),
    ],
)
def test_rejected(changes: dict[str, object], reason: str, detail: str) -> None:
    built = build(replace(GOOD, **changes))
    assert isinstance(built, Rejected)
    assert (built.source, built.row, built.id, built.reason) == ("t.csv", 7, "q1", reason)
    assert detail in built.detail


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("index1", 2),
        ("index1", 2.0),
        ("index1", " 2.0"),
        ("index0", "1"),
        ("letter", "B"),
        ("letter", "(b)"),
        ("letter", "b."),
        ("text", "GALLBLADDER "),
    ],
)
def test_answer_kinds_agree(kind: str, answer: object) -> None:
    assert item(answer_kind=kind, answer=answer).answer == 1


@pytest.mark.parametrize(("value", "flag"), [(True, True), ("TRUE", True), (1, True), (None, False), ("no", False)])
def test_heldout_in_every_form(value: object, flag: bool) -> None:
    assert item(heldout=value).heldout is flag


def test_a_list_is_not_an_id() -> None:
    bad = build(replace(GOOD, id=["q1"]))
    assert isinstance(bad, Rejected) and (bad.id, bad.detail) == (None, "id is a list; text is needed")


def test_answer_text_is_compared_folded() -> None:
    assert item(answer_text="  gallBLADDER").answer == 1


@pytest.mark.parametrize("value", ["", "1_0", "٣", "1e3", "inf", float("inf"), None, False, "3.5", "--3"])
def test_not_a_whole_number(value: object) -> None:
    assert whole_number(value) is None


@given(st.integers(-999_999_999, 999_999_999))
def test_whole_number_in_every_form(number: int) -> None:
    assert {whole_number(form) for form in (number, float(number), str(number), f" {number}.0 ")} == {number}


@given(st.text())
def test_clean_and_fold_are_idempotent(text: str) -> None:
    assert clean(clean(text)) == clean(text)
    assert unicodedata.is_normalized("NFC", clean(text))
    assert fold(f"  {text}\n") == fold(text)


def test_unicode_forms_of_a_text_are_equal() -> None:
    assert item(question=unicodedata.normalize("NFD", "Ménière")).question == "Ménière"


def test_id_from_content() -> None:
    built = item(id=None)
    assert built.id == item(id=" ", question="WHICH organ  stores bile?").id == content_id(GOOD.question, GOOD.options)
    assert built.id != item(id=None, options=("Liver", "Gallbladder")).id
    assert built.fact_id == built.id


def test_collect_rejects_a_repeated_id_with_its_row() -> None:
    loaded = collect([item(), item(row=9)], "skip")
    assert len(loaded.items) == 1
    (rejected,) = loaded.rejected
    assert (rejected.source, rejected.row, rejected.reason) == ("t.csv", 9, "duplicate_id")
    assert "row 7" in rejected.detail


def test_collect_policies() -> None:
    bad = build(replace(GOOD, answer=9))
    assert collect([item(), bad], "skip").reasons() == {"answer_out_of_range": 1}
    with pytest.raises(DataError, match=r"t\.csv, row 7 \(id q1\): answer 9.*\[answer_out_of_range\]"):
        collect([item(), bad], "error")
    with pytest.raises(ConfigError, match="allowed: error, skip"):
        collect([item()], "ignore")


def test_collect_needs_an_item() -> None:
    with pytest.raises(DataError, match="no row"):
        collect([], "skip")
    with pytest.raises(DataError, match=r"all 1 were rejected \({'answer_out_of_range': 1}\)\. The first, row 7"):
        collect([build(replace(GOOD, answer=9))], "skip")
