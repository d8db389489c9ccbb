"""A mapping from item fields to columns, and the messages when it does not fit the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from duolearn_cli.config.compose import component, compose
from duolearn_cli.data.readers.checks import content_id
from duolearn_cli.data.readers.local import Fields, LocalData
from duolearn_cli.errors import ConfigError, DataError

FIELDS: dict[str, Any] = {"question": "stem", "options": ["a", "b", "c"], "answer": "key", "answer_kind": "letter"}
CSV = "stem,a,b,c,key,field,tags\nWhere?,here,there,nowhere,B,Surgery,x| y |x\n"


def data(path: str, **changes: Any) -> LocalData:
    """Return a data set over `path` with the columns FIELDS."""
    return LocalData(path=path, fields=Fields(**FIELDS | changes))


def write(folder: Path, content: str, name: str = "mine.csv") -> str:
    file = folder / name
    file.write_text(content)
    return str(file)


def test_every_field(tmp_path: Path) -> None:
    header = "id,stem,a,b,key,s,t,e,tags,f\n"
    path = write(tmp_path, header + "7,Where?,here,there,1,Surgery,Places,Because,x| y |x,fact9\n")
    names = {"id": "id", "subject": "s", "topic": "t", "explanation": "e", "concepts": "tags", "fact": "f"}
    (item,) = data(path, options=["a", "b"], answer_kind="index0", **names).load().items
    assert (item.id, item.question, item.options, item.answer) == ("7", "Where?", ("here", "there"), 1)
    assert (item.subject, item.topic, item.explanation) == ("Surgery", "Places", "Because")
    assert (item.concepts, item.fact, item.row) == (("x", "y"), "fact9", 2)


@pytest.mark.parametrize(("kind", "key"), [("index0", "1"), ("index1", "2.0"), ("letter", "b"), ("text", "There")])
def test_answer_kinds_agree(tmp_path: Path, kind: str, key: str) -> None:
    path = write(tmp_path, CSV.replace(",B,", f",{key},"))
    assert data(path, answer_kind=kind).load().items[0].answer_text == "there"


def test_id_defaults_to_a_content_hash(tmp_path: Path) -> None:
    loaded = data(write(tmp_path, CSV + CSV.split("\n")[1])).load()
    assert [item.id for item in loaded.items] == [content_id("where?", ("here", "there", "nowhere"))]
    assert loaded.reasons() == {"duplicate_id": 1}


def test_options_and_concepts_in_one_column_of_json_lines(tmp_path: Path) -> None:
    record = {"stem": "Where?", "choices": ["here", "there"], "key": "A", "tags": ["x", "y"]}
    lines = [record, record | {"choices": {"A": "here"}}, record | {"stem": "When?", "choices": ["now"]}]
    path = write(tmp_path, "\n".join(map(json.dumps, lines)) + "\nnonsense", "mine.jsonl")
    loaded = data(path, options="choices", concepts="tags").load()
    assert (loaded.items[0].options, loaded.items[0].concepts) == (("here", "there"), ("x", "y"))
    assert [(bad.row, bad.reason) for bad in loaded.rejected] == [
        (2, "too_few_options"),
        (3, "too_few_options"),
        (4, "malformed_row"),
    ]


def test_options_in_one_csv_column(tmp_path: Path) -> None:
    path = write(tmp_path, 'stem,choices,key\nWhere?,"[""here"", ""there""]",B\nWhen?,now; then,A\n')
    loaded = data(path, options="choices").load()
    assert loaded.items[0].answer_text == "there"
    assert "column 'choices' holds 'now; then'; a list or an object of options is needed" in loaded.rejected[0].detail


FORMS = {
    "dotted": ["question=stem", "options=[a,b,c]", "answer=key", "answer_kind=letter"],
    "at once": ["{question: stem, options: [a, b, c], answer: key, answer_kind: letter}"],
}


def composed(path: str, *fields: str, sign: str = "") -> LocalData:
    """Return the data set that the command line describes."""
    overrides = [f"{sign}dataset.fields{'=' if field.startswith('{') else '.'}{field}" for field in fields]
    config = compose("unlearn", ["+forget=surgery", "dataset=local", f"dataset.path={path}", *overrides])
    return component(config.dataset)


@pytest.mark.parametrize(("form", "sign"), [("dotted", ""), ("dotted", "++"), ("at once", ""), ("at once", "+")])
def test_mapping_from_the_command_line(tmp_path: Path, form: str, sign: str) -> None:
    loaded = composed(write(tmp_path, CSV), *FORMS[form], sign=sign)
    assert loaded.load().items[0].answer == 1


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("qestion=stem", r"dataset\.fields\.qestion: there is no such setting; .*did you mean 'question'"),
        ("{qestion: stem}", r"dataset\.fields\.qestion: there is no such setting; .*did you mean 'question'"),
        ("answer_kind=leter", r"answer_kind=leter: allowed: .*did you mean 'letter'"),
        ("answer=[key]", r"dataset\.fields\.answer=.*expected a text"),
    ],
)
def test_mistakes_on_the_command_line(field: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        composed("mine.csv", field)
    with pytest.raises(ConfigError, match=r"dataset\.fields\.qestion: there is no such setting"):
        composed("mine.csv", "qestion=stem", sign="+")


def test_a_column_may_be_a_number(tmp_path: Path) -> None:
    path = write(tmp_path, "stem,1,2,key\nWhere?,here,there,B\n")
    assert composed(path, "question=stem", "options=[1,2]", "answer=key", "answer_kind=letter").load().items[0].answer
    with pytest.raises(DataError, match="no column '3'"):
        data(path, options=3).load()


def test_phrasings_of_a_fact(tmp_path: Path) -> None:
    flags = ["true", "False", "", "1", "perhaps"]
    lines = [f"Question {number}?,here,there,A,f,{flag}" for number, flag in enumerate(flags)]
    path = write(tmp_path, "\n".join(["stem,a,b,key,f,h", *lines]))
    loaded = data(path, options=["a", "b"], fact="f", heldout="h").load()
    assert [item.heldout for item in loaded.items] == [True, False, False, True]
    assert "heldout is 'perhaps'" in loaded.rejected[0].detail


def test_concepts_of_the_wrong_type_are_refused(tmp_path: Path) -> None:
    record = {"stem": "Where?", "a": "here", "b": "there", "key": "A"}
    lines = [json.dumps(record | {"tags": tags}) for tags in ({"x": 1}, [["x"]], ["x"])]
    loaded = data(write(tmp_path, "\n".join(lines), "mine.jsonl"), options=["a", "b"], concepts="tags").load()
    assert [bad.detail for bad in loaded.rejected] == [
        f"concept 1 is a {kind}; text is needed" for kind in ("dict", "list")
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"question": "stemm"}, r"no column 'stemm' \(did you mean 'stem'\?\)"),
        ({"options": ["a", "zz"]}, r"no column 'zz'.*Found: stem, a, b"),
        ({"subject": "feild"}, r"did you mean 'field'\?"),
        ({"options": {"a": 1}}, r"fields\.options=.*a list of columns is needed"),
        ({"options": ["a", None]}, r"fields\.options=.*a list of columns is needed"),
        ({"heldout": "field"}, r"needs dataset\.fields\.fact"),
        ({"answer_kind": "number"}, "allowed: index, index0, index1, letter, text"),
        ({"answer_kind": None}, r"fields\.answer_kind is not set"),
        ({"options": []}, r"fields\.options is not set"),
    ],
)
def test_mapping_that_does_not_fit(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        data(write(tmp_path, CSV), **changes).load()


def test_no_path() -> None:
    with pytest.raises(DataError, match=r"dataset\.path=FILE"):
        LocalData().load()
