"""A user's own notes: a table file with one note a row, or a folder of text files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from duolearn_cli.config.settings import setting
from duolearn_cli.data.cleaning import clean
from duolearn_cli.data.items import BAD_ROW_POLICIES, Loaded, Rejected
from duolearn_cli.data.readers.document_rows import MIN_WORDS, RawDocument, read_documents
from duolearn_cli.data.readers.row import Entry, Row
from duolearn_cli.data.readers.row_notes import Notes
from duolearn_cli.data.readers.tabular import MAP, require_columns, rows
from duolearn_cli.data.readers.text_files import is_text, text_files
from duolearn_cli.errors import DataError


@dataclass
class Fields:
    """The column of each field of a note; null if there is none. A folder of text files has only texts."""

    text: str | None = setting("text", "column of the text; null: `sections` make it")
    id: str | None = setting(None, "column of the id; null: a hash of text, patient and day")
    patient: str | None = setting(None, "column that says whom the note is about")
    date: str | None = setting(None, "column of the day, best as YYYY-MM-DD")
    subject: str | None = setting(None, "column of the kind or specialty, which forget.subjects names")
    sections: Any = setting(None, "more text: a list of columns, or one column that holds an object from title to text")
    spans: str | None = setting(None, "column of annotated spans: objects with start, end, fact and concepts")


@dataclass
class ClinicalNotes:
    """Notes about patients: JSON lines, CSV, TSV or Parquet with one note a row, or a folder of .txt files."""

    path: str | None = setting(None, "table file, .txt file or folder of .txt files")
    fields: Fields = setting(Fields, "columns of the fields of a note")
    min_words: int = setting(MIN_WORDS, "shorter notes are rejected", minimum=1)
    on_bad_row: str = setting("skip", "stop at a bad row, or leave it out", choices=BAD_ROW_POLICIES)
    encoding: str = setting("utf-8", "encoding of the files")

    def load(self) -> Loaded:
        """Read and check the notes.

        Raises:
            DataError: there is no path, the file lacks a mapped column, or it cannot be used.
        """
        if not self.path:
            raise DataError("dataset.path is not set: give your file or folder of .txt files, dataset.path=PATH.")
        notes = Notes()
        raws = text_files(self.path, self.encoding, notes) if is_text(self.path) else self._table(self.path)
        return read_documents(raws, self.on_bad_row, self.min_words, notes)

    def _table(self, path: str) -> Iterator[RawDocument | Rejected]:
        mapping = self.fields
        sections = _section_columns(mapping.sections)
        if not mapping.text and not sections:
            raise DataError("dataset.fields.text is not set. Needed: text, or sections.")
        named = (mapping.text, mapping.id, mapping.patient, mapping.date, mapping.subject, mapping.spans)
        entries = list(rows(path, encoding=self.encoding))
        listed = [sections] if isinstance(sections, str) else sections
        require_columns(path, entries, [*filter(None, named), *listed], MAP)
        return (_raw(path, entry, mapping, sections) for entry in entries)


def _section_columns(sections: object) -> str | list[str]:
    if sections is None:
        return []
    if isinstance(sections, Sequence) and not isinstance(sections, str):
        return [str(column) for column in sections]
    if isinstance(sections, str | int):
        return str(sections)
    raise DataError(f"dataset.fields.sections={sections}: a list of columns is needed, or one column with an object.")


def _raw(path: str, entry: Entry, mapping: Fields, sections: str | list[str]) -> RawDocument | Rejected:
    if isinstance(entry, Rejected):
        return entry
    text = _value(entry, mapping.text)
    if sections:
        parts = _parts(entry, sections)
        if isinstance(parts, str):
            return Rejected(path, entry.number, None, "malformed_row", parts)
        # The text stands first, so that the places of its spans stay right.
        text = "\n\n".join([*([text] if isinstance(text, str) and text.strip() else []), *parts]) or text
    return RawDocument(
        source=path,
        row=entry.number,
        id=_value(entry, mapping.id),
        text=text,
        patient=_value(entry, mapping.patient),
        date=_value(entry, mapping.date),
        subject=_value(entry, mapping.subject),
        spans=_value(entry, mapping.spans),
    )


def _value(row: Row, column: str | None) -> object:
    return row.values.get(column) if column else None


def _parts(row: Row, sections: str | list[str]) -> list[str] | str:
    """Return the sections that have text, each under its title, or a sentence that says why there are none."""
    held: object = {column: row.values.get(column) for column in sections}
    if isinstance(sections, str):
        held = row.values.get(sections) or {}
    if not isinstance(held, Mapping):
        return f"column {sections!r} is a {type(held).__name__}; an object from title to text is needed"
    # A list or number would be written as Python prints it, and learned so.
    if wrong := [title for title, text in held.items() if clean(text) and not isinstance(text, str)]:
        return f"section {wrong[0]!r} is a {type(held[wrong[0]]).__name__}; text is needed"
    return [f"{title}:\n{text}" for title, text in held.items() if clean(text)]
