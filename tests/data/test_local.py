"""A mapping from item fields to columns, and what is said when it does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from duolearn_cli.data.checks import content_id
from duolearn_cli.data.local import LocalData
from duolearn_cli.errors import DataError

FIELDS: dict[str, Any] = {"question": "stem", "options": ["a", "b", "c"], "answer": "key", "answer_kind": "letter"}
CSV = "stem,a,b,c,key,field,tags\nWhere?,here,there,nowhere,B,Surgery,x| y |x\n"


def write(folder: Path, content: str, name: str = "mine.csv") -> str:
    file = folder / name
    file.write_text(content)
    return str(file)


def test_every_field(tmp_path: Path) -> None:
    header = "id,stem,a,b,key,s,t,e,tags,f\n"
    path = write(tmp_path, header + "7,Where?,here,there,1,Surgery,Places,Because,x| y |x,fact9\n")
    names = {"id": "id", "subject": "s", "topic": "t", "explanation": "e", "concepts": "tags", "fact": "f"}
    fields = {"question": "stem", "options": ["a", "b"], "answer": "key", "answer_kind": "index0", **names}
    (item,) = LocalData(path=path, fields=fields).load().items
    assert (item.id, item.question, item.options, item.answer) == ("7", "Where?", ("here", "there"), 1)
    assert (item.subject, item.topic, item.explanation) == ("Surgery", "Places", "Because")
    assert (item.concepts, item.fact, item.row) == (("x", "y"), "fact9", 2)


@pytest.mark.parametrize(("kind", "key"), [("index0", "1"), ("index1", "2.0"), ("letter", "b"), ("text", "There")])
def test_answer_kinds_agree(tmp_path: Path, kind: str, key: str) -> None:
    path = write(tmp_path, CSV.replace(",B,", f",{key},"))
    assert LocalData(path=path, fields=FIELDS | {"answer_kind": kind}).load().items[0].answer_text == "there"


def test_id_defaults_to_a_content_hash(tmp_path: Path) -> None:
    loaded = LocalData(path=write(tmp_path, CSV + CSV.split("\n")[1]), fields=FIELDS).load()
    assert [item.id for item in loaded.items] == [content_id("where?", ("here", "there", "nowhere"))]
    assert loaded.reasons() == {"duplicate_id": 1}


def test_options_and_concepts_in_one_column_of_json_lines(tmp_path: Path) -> None:
    record = {"stem": "Where?", "choices": ["here", "there"], "key": "A", "tags": ["x", "y"]}
    lines = [record, record | {"choices": {"A": "here"}}, record | {"stem": "When?", "choices": ["now"]}]
    path = write(tmp_path, "\n".join(map(json.dumps, lines)) + "\nnonsense", "mine.jsonl")
    fields = FIELDS | {"options": "choices", "concepts": "tags"}
    loaded = LocalData(path=path, fields=fields).load()
    assert (loaded.items[0].options, loaded.items[0].concepts) == (("here", "there"), ("x", "y"))
    assert [(bad.row, bad.reason) for bad in loaded.rejected] == [
        (2, "malformed_row"),
        (3, "too_few_options"),
        (4, "malformed_row"),
    ]


def test_options_in_one_csv_column(tmp_path: Path) -> None:
    path = write(tmp_path, 'stem,choices,key\nWhere?,"[""here"", ""there""]",B\nWhen?,now; then,A\n')
    loaded = LocalData(path=path, fields=FIELDS | {"options": "choices"}).load()
    assert loaded.items[0].answer_text == "there"
    assert "'now; then', a list is needed" in loaded.rejected[0].detail


def test_mapping_from_a_configuration(tmp_path: Path) -> None:
    config = OmegaConf.merge(OmegaConf.structured(LocalData), {"path": write(tmp_path, CSV), "fields": FIELDS})
    assert LocalData(path=config.path, fields=config.fields).load().items[0].answer == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"question": "stemm"}, r"no column 'stemm'; did you mean 'stem'\?"),
        ({"options": ["a", "zz"]}, r"no column 'zz'.*Found: stem, a, b"),
        ({"subject": "feild"}, r"did you mean 'field'\?"),
        ({"subjet": "field"}, r"fields\.subjet: no such item field; did you mean 'subject'\?"),
        ({"answer_kind": "number"}, "accepted: index0, index1, letter, text"),
        ({"answer_kind": None}, r"fields\.answer_kind is not set"),
        ({"options": []}, r"fields\.options is not set"),
    ],
)
def test_mapping_that_does_not_fit(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        LocalData(path=write(tmp_path, CSV), fields=FIELDS | changes).load()


def test_no_path() -> None:
    with pytest.raises(DataError, match=r"dataset\.path=FILE"):
        LocalData(fields=FIELDS).load()
