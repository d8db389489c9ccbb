"""Notes, MTSamples, FHIR and corpora become documents; what cannot be read is rejected with its reason."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from duolearn_cli.config.compose import component, compose
from duolearn_cli.data.documents import Document, Span
from duolearn_cli.data.items import Loaded
from duolearn_cli.data.readers.corpus import Corpus
from duolearn_cli.data.readers.fhir import FhirNotes
from duolearn_cli.data.readers.fhir_text import stripped
from duolearn_cli.data.readers.mtsamples import MTSamples
from duolearn_cli.data.readers.notes import ClinicalNotes, Fields
from duolearn_cli.errors import DataError

FORMATS = Path(__file__).parents[2] / "fixtures" / "formats"
TEXT = "He has asthma and takes lisinopril daily."
OF_WHOM = {"patient": "who", "date": "day"}
ALL: dict[str, Any] = {"text": "note", "id": "n", "patient": "who", "date": "day", "subject": "kind"}


def write(folder: Path, rows: list[dict[str, Any]], name: str = "notes.jsonl") -> str:
    file = folder / name
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return str(file)


def notes(path: str, fields: dict[str, Any] | None = None, **settings: Any) -> ClinicalNotes:
    return ClinicalNotes(path=path, fields=Fields(**(fields or {})), **settings)


def reasons(loaded: Loaded) -> list[tuple[int, str]]:
    return [(row.row, row.reason) for row in loaded.rejected]


def table(folder: Path, suffix: str) -> str:
    """One note with all fields, in each table format."""
    row = {"n": "7", "note": TEXT, "who": "p1", "day": "2024-03-31", "kind": "Clinic letter"}
    if suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.Table.from_pylist([row]), folder / "notes.parquet")
        return str(folder / "notes.parquet")
    if suffix == ".jsonl":
        return write(folder, [row])
    (folder / "notes.csv").write_text(f"{','.join(row)}\n{','.join(row.values())}\n")
    return str(folder / "notes.csv")


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_every_field_from_every_table_format(tmp_path: Path, suffix: str) -> None:
    loaded = notes(table(tmp_path, suffix), ALL).load()
    assert loaded.documents == (Document("7", TEXT, "p1", "2024-03-31", "Clinic letter"),)
    assert loaded.items == () and loaded.rejected == () and loaded.notes == ()


def test_the_command_line_maps_columns(tmp_path: Path) -> None:
    chosen = [f"dataset.fields.{field}={column}" for field, column in ALL.items()]
    config = compose(
        "unlearn", ["+forget=surgery", "dataset=notes", f"dataset.path={table(tmp_path, '.csv')}", *chosen]
    )
    assert component(config.dataset).load().documents[0].patient == "p1"


def test_bad_rows_are_rejected_with_reasons(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"text": TEXT, "id": "a"},
        {"text": f"Again: {TEXT}", "id": "a"},
        {"text": None},
        {"text": "  \n "},
        {"text": "Too short."},
        {"text": [TEXT]},
        {"text": 5},
        {"text": f"{TEXT} \ud800"},
        {"text": TEXT, "id": {"a": 1}},
        {"id": "no text at all"},
    ]
    path = write(tmp_path, rows)
    loaded = notes(path, {"id": "id"}).load()
    assert [document.id for document in loaded.documents] == ["a"]
    assert reasons(loaded) == [
        (2, "duplicate_id"),
        (3, "empty_text"),
        (4, "empty_text"),
        (5, "too_short"),
        (6, "malformed_row"),
        (7, "malformed_row"),
        (8, "malformed_row"),
        (9, "malformed_row"),
        (10, "empty_text"),
    ]
    assert "the text has 2 words; dataset.min_words=5" in loaded.rejected[3].detail
    with pytest.raises(DataError, match=r"row 2 \(id a\): id 'a' is already used by row 1 \[duplicate_id\]"):
        notes(path, {"id": "id"}, on_bad_row="error").load()
    assert len(notes(path, {"id": "id"}, min_words=2).load().documents) == 2


def test_nothing_usable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no usable row; all 1 were rejected \(\{'too_short': 1\}\)"):
        notes(write(tmp_path, [{"text": "Short."}])).load()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text": "nte"}, r"no column 'nte' \(did you mean 'note'\?\)\. .* Name your columns with dataset\.fields"),
        ({"text": "note", "patient": "who"}, "no column 'who'"),
        ({"text": None}, r"dataset\.fields\.text is not set"),
        ({"text": None, "sections": {"a": 1}}, r"dataset\.fields\.sections=.*a list of columns is needed"),
    ],
)
def test_mistakes_in_the_mapping(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        notes(write(tmp_path, [{"note": TEXT}]), fields).load()


def test_a_path_is_needed() -> None:
    for reader in (ClinicalNotes(), FhirNotes()):
        with pytest.raises(DataError, match=r"dataset\.path is not set"):
            reader.load()


def test_dates_that_may_name_two_days_are_left_out_and_noted(tmp_path: Path) -> None:
    days = ["2024-03-31T10:00:00", "03/04/2024", "2024-03", "", "31 Mar 2024"]
    rows = [{"text": f"{TEXT} Visit {number}.", "day": day} for number, day in enumerate(days)]
    loaded = notes(write(tmp_path, rows), {"date": "day"}).load()
    assert [document.date for document in loaded.documents] == ["2024-03-31", None, None, None, "2024-03-31"]
    assert [note for note in loaded.notes if "read without a date" in note and "2 rows: 2, 3" in note]


def test_the_same_text_of_two_patients_or_days_is_two_documents_and_noted(tmp_path: Path) -> None:
    made = [("p1", "2024-03-31"), ("p2", "2024-03-31"), ("p1", "31 March 2024"), ("p1", "2024-04-01")]
    loaded = notes(write(tmp_path, [{"text": TEXT, "who": who, "day": day} for who, day in made]), OF_WHOM).load()
    assert [(one.patient, one.date) for one in loaded.documents] == [made[0], made[1], made[3]]
    assert reasons(loaded) == [(3, "duplicate_id")]
    assert any("repeats the text of an earlier one" in note for note in loaded.notes)


def test_texts_are_composed_with_one_kind_of_line_break_and_odd_marks_are_noted(tmp_path: Path) -> None:
    text = "\r\nHe has a cafe\u0301 habit.\r\nAnd\x07 a bell.\r"
    loaded = notes(write(tmp_path, [{"text": text, "subject": "N/A"}]), {"subject": "subject"}).load()
    (document,) = loaded.documents
    assert document.text == "He has a café habit.\nAnd\x07 a bell." and document.subject is None
    assert loaded.notes == ("documents contain control characters: they are read unchanged (1 row: 1).",)


def test_sections_follow_the_text_under_their_titles(tmp_path: Path) -> None:
    row = {"text": TEXT, "plan": "Come back.", "exam": " ", "all": {"History": "None.", "Plan": None}}
    path = write(tmp_path, [row])
    (document,) = notes(path, {"sections": ["exam", "plan"]}).load().documents
    assert document.text == f"{TEXT}\n\nplan:\nCome back."
    (document,) = notes(path, {"text": None, "sections": "all"}, min_words=1).load().documents
    assert document.text == "History:\nNone."
    wrong = notes(write(tmp_path, [{"all": "History"}, {"all": {"Plan": ["x"]}}, {"all": {"Plan": TEXT}}], "w.jsonl"))
    wrong.fields = Fields(text=None, sections="all")
    assert reasons(wrong.load()) == [(1, "malformed_row"), (2, "malformed_row")]


def span(part: str, text: str = TEXT, **more: Any) -> dict[str, Any]:
    return {"start": text.index(part), "end": text.index(part) + len(part), **more}


def test_annotated_spans(tmp_path: Path) -> None:
    spans = [
        span("lisinopril", fact="p1:drug", concepts=["ace_inhibitors"], clause=[14, 40]),
        span("asthma", concepts="asthma|wheeze"),
    ]
    for given in (spans, json.dumps(spans)):
        (document,) = notes(write(tmp_path, [{"text": TEXT, "s": given}]), {"spans": "s"}).load().documents
        assert document.spans == (
            Span(7, 13, "", ("asthma", "wheeze")),
            Span(24, 34, "p1:drug", ("ace_inhibitors",), (14, 40)),
        )


def test_spans_stay_in_place_while_the_text_is_cleaned(tmp_path: Path) -> None:
    text = "\r\n  Cafe\u0301 note.\r\nHe has e\u0301tat grippal and asthma.\r\n"
    given = [span("e\u0301tat grippal", text), span("asthma", text, clause=list(span(" and asthma", text).values()))]
    (document,) = notes(write(tmp_path, [{"text": text, "s": given}]), {"spans": "s"}).load().documents
    shown = [document.text[one.start : one.end] for one in document.spans]
    assert shown == ["état grippal", "asthma"]
    start, end = document.spans[1].clause or (0, 0)
    assert document.text[start:end] == " and asthma"


@pytest.mark.parametrize(
    ("spans", "detail"),
    [
        ([{"start": 3}], "goes from 3 to None"),
        ([{"start": 9, "end": 9}], "goes from 9 to 9"),
        ([{"start": -1, "end": 9}], "goes from -1 to 9"),
        ([{"start": 0, "end": 99}], "two whole numbers from 0 to 41"),
        ([{"start": True, "end": 9}], "goes from True"),
        ([{"start": 6, "end": 7}], "holds only white space"),
        ([{"start": 0, "end": 5}, {"start": 4, "end": 9}], "the spans 0 to 5 and 4 to 9 overlap"),
        ([{"start": 0, "end": 5, "fct": "x"}], "the key 'fct'"),
        ([{"start": 0, "end": 5, "fact": ["x"]}], "fact is a list"),
        ([{"start": 0, "end": 5, "concepts": [3]}], "concepts are"),
        ([{"start": 0, "end": 5, "clause": [1, 5]}], "does not hold its span"),
        ([{"start": 0, "end": 5, "clause": 1}], "clause is a int"),
        (["x"], "a span is 'x'"),
        ({"start": 0}, "spans are a dict"),
        ("[", "spans are not JSON"),
    ],
)
def test_bad_spans_reject_their_row(tmp_path: Path, spans: object, detail: str) -> None:
    rows = [{"text": TEXT, "s": spans}, {"text": f"{TEXT} Fine."}]
    loaded = notes(write(tmp_path, rows), {"spans": "s"}).load()
    assert reasons(loaded) == [(1, "bad_span")] and detail in loaded.rejected[0].detail


def test_a_span_that_divides_a_character_is_rejected(tmp_path: Path) -> None:
    text = "He has e\u0301tat grippal since May."
    rows = [{"text": text, "s": [{"start": 7, "end": 8}]}, {"text": TEXT}]
    assert "inside of a character" in notes(write(tmp_path, rows), {"spans": "s"}).load().rejected[0].detail


def test_a_folder_of_text_files(tmp_path: Path) -> None:
    (tmp_path / "ward").mkdir()
    (tmp_path / "b.txt").write_text(TEXT)
    (tmp_path / "ward" / "a.TXT").write_bytes(b"\xef\xbb\xbfShe has no asthma but gout.")
    (tmp_path / "c.txt").write_bytes("Er hat Fieber in Köln gehabt.".encode("latin-1"))
    (tmp_path / "readme.md").write_text("no note")
    (tmp_path / ".hidden.txt").write_text("no note")
    loaded = notes(str(tmp_path)).load()
    assert [(one.id, one.text) for one in loaded.documents] == [
        ("b.txt", TEXT),
        ("ward/a.TXT", "She has no asthma but gout."),
    ]
    assert [(bad.id, bad.reason) for bad in loaded.rejected] == [("c.txt", "not_decodable")]
    assert "set dataset.encoding=" in loaded.rejected[0].detail
    assert loaded.notes == ("1 files of the folder are left out: they are not .txt files.",)
    with pytest.raises(DataError, match=r"dataset\.encoding='klingon' is unknown"):
        notes(str(tmp_path), encoding="klingon").load()


def test_a_folder_without_texts_and_a_missing_file(tmp_path: Path) -> None:
    write(tmp_path, [{"text": TEXT}])
    with pytest.raises(DataError, match=r"has no \.txt file; it holds notes\.jsonl\. Name a table file itself"):
        notes(str(tmp_path)).load()
    with pytest.raises(DataError, match="no such file or folder"):
        notes(str(tmp_path / "x.txt")).load()


def test_mtsamples() -> None:
    loaded = MTSamples(path=str(FORMATS / "mtsamples.csv")).load()
    assert [document.subject for document in loaded.documents] == ["Surgery", "Cardiovascular / Pulmonary"]
    assert loaded.documents[0].text.startswith("PREOPERATIVE DIAGNOSIS:,  Acute appendicitis.")
    assert reasons(loaded) == [(4, "duplicate_id"), (5, "empty_text"), (6, "too_short")]


def test_the_presets_hold_the_defaults_of_their_classes() -> None:
    readers = {"mtsamples": MTSamples, "fhir": FhirNotes, "corpus": Corpus, "notes": ClinicalNotes}
    for name, reader in readers.items():
        assert component(compose("unlearn", ["+forget=surgery", f"dataset={name}"]).dataset) == reader()


def test_fhir_resources() -> None:
    loaded = FhirNotes(path=str(FORMATS / "reports.ndjson")).load()
    first, second, third, fourth = loaded.documents
    conclusion = "Asthma, well controlled."
    assert first == Document(
        "r1",
        f"Fräulein Muster has asthma and takes salbutamol at night.\n\n{conclusion}",
        "p1",
        "2023-04-05",
        "Discharge summary",
    )
    text = "Seen in clinic today.\nHypertension, on lisinopril."
    assert second == Document("d1", text, "p2", "2023-07-01", "Progress note")
    text = "Sodium 139 mmol/l & potassium 4.1.\nUrea 5.0\n\nNormal."
    assert third == Document("r2", text, "MRN-9", None, "Laboratory report")
    assert (fourth.text, fourth.patient) == ("No text but this conclusion is here.", None)
    assert [(bad.id, bad.reason) for bad in loaded.rejected] == [
        ("d2", "bad_base64"),
        ("d3", "unknown_encoding"),
        ("d4", "not_decodable"),
        ("d5", "empty_text"),
        ("r4", "entered_in_error"),
        ("r1", "duplicate_id"),
    ]
    assert "attached as a link (application/pdf)" in loaded.rejected[3].detail
    assert any("'Observation' are left out" in note for note in loaded.notes)


def test_fhir_bundles_and_the_forms_of_references(tmp_path: Path) -> None:
    names = ["Patient/1", "https://a.example/fhir/Patient/1", "urn:uuid:5", "Group/7", None]
    reports = [
        {"resourceType": "DiagnosticReport", "id": f"r{n}", "conclusion": f"{TEXT} {n}", "subject": {"reference": name}}
        for n, name in enumerate(names)
    ]
    bundle = {"resourceType": "Bundle", "entry": [{"resource": one} for one in reports]}
    loaded = FhirNotes(path=write(tmp_path, [bundle], "bundle.json")).load()
    patients = ["1", "https://a.example/fhir/Patient/1", "urn:uuid:5", None, None]
    assert [document.patient for document in loaded.documents] == patients
    assert any("about a Group have no patient" in note for note in loaded.notes)
    with pytest.raises(DataError, match="no resource of the type DiagnosticReport or DocumentReference"):
        FhirNotes(path=write(tmp_path, [{"resourceType": "Patient"}], "p.ndjson")).load()


def test_html_attachments_lose_their_markup(tmp_path: Path) -> None:
    data = base64.b64encode(b"<html><head><title>x</title></head><p>He has</p><p>asthma since May 2020.</p>").decode()
    report = {"resourceType": "DiagnosticReport", "presentedForm": [{"contentType": "text/html", "data": data}]}
    (document,) = FhirNotes(path=write(tmp_path, [report])).load().documents
    assert document.text == "He has\nasthma since May 2020."


def test_markup_opens_no_file_and_resolves_no_entity_of_a_document_type() -> None:
    hostile = (
        '<!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/passwd"><!ENTITY f "fff">]><div>a &e; &f; <b>b</b><!-- c --></div>'
    )
    assert "root:" not in stripped(hostile) and "fff;" not in stripped(hostile).replace('"fff">', "")
    assert stripped("<div>a<br/>b &lt;c&gt;</div>") == "a\nb <c>"


def test_a_corpus_of_parts(tmp_path: Path) -> None:
    parts = {"forget": str(FORMATS / "muse_forget.jsonl"), "retain": str(FORMATS / "muse_retain.txt")}
    loaded = Corpus(parts=parts).load()
    assert [document.subject for document in loaded.documents] == ["forget", "forget", "retain"]
    assert loaded.documents[2].id == "retain:muse_retain.txt"
    assert reasons(loaded) == [(3, "malformed_row")]
    config = compose("unlearn", ["+forget=surgery", "dataset=corpus", f"+dataset.parts={{forget: {parts['forget']}}}"])
    assert len(component(config.dataset).load().documents) == 2


def test_a_text_in_two_parts_is_read_once(tmp_path: Path) -> None:
    paths = [write(tmp_path, [{"text": TEXT}, {"text": f"{TEXT} {name}"}], f"{name}.jsonl") for name in "ab"]
    loaded = Corpus(parts=dict(zip("ab", paths, strict=True))).load()
    assert [document.subject for document in loaded.documents] == ["a", "a", "b"]
    assert reasons(loaded) == [(1, "duplicate_id")]


def test_a_corpus_needs_a_path_or_parts() -> None:
    with pytest.raises(DataError, match=r"set dataset\.path=FILE, or its parts, \+dataset\.parts="):
        Corpus().load()
    with pytest.raises(DataError, match="both set"):
        Corpus(path="x.txt", parts={"a": "y.txt"}).load()
