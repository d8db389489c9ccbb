"""Documents on the command line: written to files, shown as a table, and refused where questions are needed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from duolearn_cli.cli.commands import data, hierarchy
from duolearn_cli.cli.commands.common import Invocation
from duolearn_cli.config.compose import compose
from duolearn_cli.data.documents import Document, Span
from duolearn_cli.data.exported import document_row, item_row
from duolearn_cli.data.items import Item
from duolearn_cli.data.readers.local import Fields as ItemFields
from duolearn_cli.data.readers.local import LocalData
from duolearn_cli.data.readers.notes import ClinicalNotes, Fields
from duolearn_cli.errors import DataError
from duolearn_cli.pipeline.prepare import prepare

FORMATS = Path(__file__).parents[1] / "fixtures" / "formats"
MTSAMPLES = ["dataset=mtsamples", f"dataset.path={FORMATS / 'mtsamples.csv'}"]
TINY = (
    "id\tlevel\tparents\tname\tsynonyms\tsubjects\nsurgery\t3\t\tappendectomy\t\tSurgery\n"
    "heart\t3\t\thypertension\t\t\n"
)


def small(tmp_path: Path) -> str:
    """A hierarchy of two concepts: the embedded one takes seconds."""
    (tmp_path / "small.tsv").write_text(TINY)
    return f"hierarchy.path={tmp_path / 'small.tsv'}"


def written(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def test_documents_are_exported_with_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "notes.jsonl"
    data.run(compose("data", [*MTSAMPLES, f"export_path={path}"]), Invocation())
    said = capsys.readouterr().out
    assert (
        f"2 documents written to {path}, 3 rows rejected: {{'duplicate_id': 1, 'empty_text': 1, 'too_short': 1}}"
        in said
    )
    assert "subjects   Surgery 1, Cardiovascular / Pulmonary 1" in said
    assert len(ClinicalNotes(path=str(path)).load().documents) == 2


def test_documents_and_items_are_read_back(tmp_path: Path) -> None:
    spans = (Span(7, 13, "p1:ill", ("asthma",), (3, 13)), Span(24, 34))
    document = Document("d", "He has asthma and takes lisinopril daily.", "p1", "2024-03-31", "Letter", spans)
    path = written(tmp_path / "d.jsonl", [document_row(document)])
    mapped = Fields(id="id", patient="patient", date="date", subject="subject", spans="spans")
    assert ClinicalNotes(path=path, fields=mapped).load().documents == (document,)
    item = Item("i", "Which?", ("a", "b", "c"), 2, "S", "T", "Because.", ("x",), "f", True, "p1", "2024-03-31")
    other = Item("j", "Which one?", ("a", "d", "e"), 0, fact="f")
    path = written(tmp_path / "i.jsonl", [item_row(item), item_row(other)])
    names = dict.fromkeys(("id", "question", "options", "answer", "subject", "topic", "explanation", "concepts"))
    names |= dict.fromkeys(("fact", "heldout", "patient", "date"))
    columns = {name: name for name in names} | {"answer_kind": "index0"}
    assert LocalData(path=path, fields=ItemFields(**columns)).load().items == (item, other)


def test_free_answers_are_exported_with_all_their_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "qa.jsonl"
    settings = ["dataset=qa", f"dataset.path={FORMATS / 'tofu.jsonl'}", f"export_path={path}"]
    data.run(compose("data", settings), Invocation())
    assert "6 items written" in capsys.readouterr().out
    assert {len(json.loads(line)["options"]) for line in path.read_text().splitlines()} == {3, 4}


def test_coverage_shows_documents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = compose("hierarchy", ["hierarchy_view.action=coverage", *MTSAMPLES, small(tmp_path)])
    hierarchy.run(config, Invocation())
    said = capsys.readouterr().out
    assert "2 different ones, in 2 of 2 documents" in said and "empty_text" in said and "of 5 rows" in said
    assert "Concepts and recovered subjects" not in said


def test_documents_that_cannot_be_asked_for_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none of the 2 documents can be asked for.*hierarchy coverage"):
        prepare(compose("unlearn", ["+forget=surgery", *MTSAMPLES, small(tmp_path)]))
