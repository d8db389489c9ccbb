"""A user's own questions, from any table file, with a mapping from item fields to its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from duolearn_cli.config.settings import setting
from duolearn_cli.data.cleaning import clean
from duolearn_cli.data.items import BAD_ROW_POLICIES, Loaded, Rejected
from duolearn_cli.data.readers.fills import label
from duolearn_cli.data.readers.option_cells import Cell, read_cell
from duolearn_cli.data.readers.raw import ANSWER_KINDS, Raw
from duolearn_cli.data.readers.reading import read
from duolearn_cli.data.readers.row import Entry, Row
from duolearn_cli.data.readers.tabular import require_columns, rows, table_file
from duolearn_cli.errors import DataError

NEEDED = ("question", "options", "answer", "answer_kind")
_NO_COLUMN = ("options", "answer_kind")  # fields that do not name one column: options may be a list of columns


@dataclass
class Fields:
    """The column of each item field in the user's file; null if there is none."""

    id: str | None = setting(None, "column of the id; null: a hash of the content")
    question: str | None = setting(None, "column of the question")
    options: Any = setting(None, "a list of columns, or one column that contains a list or an object")
    answer: str | None = setting(None, "column of the answer")
    answer_kind: str | None = setting(
        None,
        "how the column gives the answer: as a position (index, from 0 or 1), a letter or a text",
        choices=ANSWER_KINDS,
    )
    answer_text: str | None = setting(None, "column of the right option's text, checked against the position or letter")
    subject: str | None = setting(None, "column of the subject")
    topic: str | None = setting(None, "column of the topic")
    explanation: str | None = setting(None, "column of the explanation")
    concepts: str | None = setting(None, "column of concept ids, a list or separated by |")
    fact: str | None = setting(None, "column with the same value for rows about the same fact")
    heldout: str | None = setting(None, "column of true or false; true: another phrasing of a fact, never trained on")
    patient: str | None = setting(None, "column with the same value for rows about the same person")
    date: str | None = setting(None, "column of the day of the fact, best as YYYY-MM-DD")


@dataclass
class LocalData:
    """The user's own table file as a data set. Rows without an id get a hash of their content as id."""

    path: str | None = setting(None, "CSV, TSV, JSON lines, JSON or Parquet file")
    fields: Fields = setting(Fields, "columns of the item fields")
    on_bad_row: str = setting("skip", "stop at a bad row, or leave it out", choices=BAD_ROW_POLICIES)
    encoding: str = setting("utf-8", "encoding of the file")

    def load(self) -> Loaded:
        """Read and check the file.

        Raises:
            DataError: there is no path, the mapping is incomplete, the file lacks a mapped column or cannot be used, or
                the answers contradict `answer_kind`.
        """
        if not self.path:
            raise DataError("dataset.path is not set: give the path of your file, dataset.path=FILE.")
        # A wrong path first: its fix does not wait for the mapping of columns.
        table_file(self.path)
        _check_mapping(self.fields)
        columns = {f.name: getattr(self.fields, f.name) for f in fields(Fields) if f.name not in _NO_COLUMN}
        options = _option_columns(self.fields.options)
        entries = list(rows(self.path, encoding=self.encoding))
        named = [column for column in columns.values() if column]
        require_columns(self.path, entries, [*named, *([options] if isinstance(options, str) else options)])
        kind = str(self.fields.answer_kind)
        raws = [_raw(self.path, entry, columns, options, kind) for entry in entries]
        return read(self.path, raws, self.on_bad_row)


def _check_mapping(mapping: Fields) -> None:
    for key in NEEDED:
        if not getattr(mapping, key):
            raise DataError(f"dataset.fields.{key} is not set. Needed: {', '.join(NEEDED)}.")
    if mapping.answer_kind not in ANSWER_KINDS:
        raise DataError(f"dataset.fields.answer_kind is {mapping.answer_kind!r}; allowed: {', '.join(ANSWER_KINDS)}.")
    if mapping.heldout and not mapping.fact:
        raise DataError("dataset.fields.heldout needs dataset.fields.fact, which says which rows are about one fact.")


def _option_columns(options: object) -> str | list[str]:
    """Return the columns of the options, or the one column that has all. YAML reads a column name 3 as a number."""
    if isinstance(options, Sequence) and not isinstance(options, str):
        if all(isinstance(column, str | int) for column in options):
            return [str(column) for column in options]
    elif isinstance(options, str | int):
        return str(options)
    raise DataError(f"dataset.fields.options={options}: a list of columns is needed, or one column that holds a list.")


def _raw(
    path: str, entry: Entry, columns: Mapping[str, str | None], option_columns: str | list[str], answer_kind: str
) -> Raw | Rejected:
    if isinstance(entry, Rejected):
        return entry
    cell = _cell(entry, option_columns)
    if isinstance(cell, str):
        return Rejected(path, entry.number, None, "malformed_row", f"column {option_columns!r} {cell}")
    value = {key: entry.values.get(column) if column else None for key, column in columns.items()}
    # Words such as "N/A" in a label column mean that the row has no label.
    value |= {key: label(value[key]) for key in ("subject", "topic")}
    return Raw(
        source=path,
        row=entry.number,
        options=cell.options,
        names=cell.names,
        answer_kind=answer_kind,
        concepts=_concepts(value.pop("concepts")),
        **value,
    )


def _cell(row: Row, columns: str | Sequence[str]) -> Cell | str:
    """Return the raw options, or a sentence that says why the one column with all options has none."""
    if isinstance(columns, str):
        return read_cell(row.values.get(columns))
    return Cell(tuple(row.values.get(column) for column in columns))


def _concepts(value: object) -> tuple[object, ...]:
    if isinstance(value, list):
        return tuple(value)
    return (value,) if isinstance(value, dict) else tuple(clean(value).split("|"))
