"""A user's own questions: any table file, with a mapping from item fields to its columns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from duolearn_cli.data.checks import ANSWER_KINDS, Raw, build
from duolearn_cli.data.items import BAD_ROW_POLICIES, Item, Loaded, Rejected, collect
from duolearn_cli.data.tabular import Entry, Row, require_columns, rows
from duolearn_cli.errors import DataError, nearest

NEEDED = ("question", "options", "answer", "answer_kind")
OPTIONAL = ("id", "subject", "topic", "explanation", "concepts", "fact")
_FIELDS_HELP = (
    "column of each item field: question, options (a list of columns, or one column that holds a list), answer, "
    "answer_kind (index0, index1, letter or text), and where there are such id, subject, topic, explanation, "
    "concepts (separated by |), fact"
)


@dataclass
class LocalData:
    """A table file of the user's own; `load` reads it. Rows without an id get a hash of their content."""

    path: str | None = field(default=None, metadata={"help": "CSV, TSV, JSON lines, JSON or Parquet file"})
    fields: dict[str, Any] = field(default_factory=dict, metadata={"help": _FIELDS_HELP})
    on_bad_row: str = field(
        default="skip", metadata={"help": "stop at a bad row, or leave it out", "choices": BAD_ROW_POLICIES}
    )
    encoding: str = field(default="utf-8", metadata={"help": "encoding of the file"})

    def load(self) -> Loaded:
        """Read and check.

        Raises:
            DataError: no path, a mapping that is incomplete or misspelt, a mapped column that the file lacks,
                or an unusable file.
        """
        if not self.path:
            raise DataError("a data set of your own needs dataset.path=FILE.")
        _check_mapping(self.fields)
        entries = list(rows(self.path, encoding=self.encoding))
        require_columns(self.path, entries, _columns(self.fields))
        return collect((_item(self.path, entry, self.fields) for entry in entries), self.on_bad_row)


def _check_mapping(fields: Mapping[str, Any]) -> None:
    accepted = (*NEEDED, *OPTIONAL)
    for key in fields:
        if key not in accepted:
            hint = nearest(key, accepted)
            raise DataError(f"dataset.fields.{key}: no such item field{hint}. Accepted: {', '.join(accepted)}.")
    for key in NEEDED:
        if not fields.get(key):
            raise DataError(f"dataset.fields.{key} is not set. Needed: {', '.join(NEEDED)}.")
    if fields["answer_kind"] not in ANSWER_KINDS:
        raise DataError(
            f"dataset.fields.answer_kind is {fields['answer_kind']!r}; accepted: {', '.join(ANSWER_KINDS)}."
        )


def _columns(fields: Mapping[str, Any]) -> list[str]:
    """Every column the mapping names."""
    named = [value for key, value in fields.items() if key not in ("answer_kind", "options") and value]
    return [*named, *_option_columns(fields)]


def _option_columns(fields: Mapping[str, Any]) -> list[str]:
    options = fields["options"]
    return [options] if isinstance(options, str) else list(options)


def _item(path: str, entry: Entry, fields: Mapping[str, Any]) -> Item | Rejected:
    if isinstance(entry, Rejected):
        return entry
    options = _options(entry, fields["options"])
    if options is None:
        detail = f"column {fields['options']!r} holds {entry.values.get(fields['options'])!r}, a list is needed"
        return Rejected(path, entry.number, None, "malformed_row", detail)
    value = {key: entry.values.get(column) for key, column in fields.items() if key not in ("answer_kind", "options")}
    return build(
        Raw(
            source=path,
            row=entry.number,
            id=value.get("id"),
            question=value["question"],
            options=options,
            answer=value["answer"],
            answer_kind=fields["answer_kind"],
            subject=value.get("subject"),
            topic=value.get("topic"),
            explanation=value.get("explanation"),
            concepts=_concepts(value.get("concepts")),
            fact=value.get("fact"),
        )
    )


def _options(row: Row, columns: str | Sequence[str]) -> tuple[object, ...] | None:
    """The options' raw values; None when the one column that should hold a list does not."""
    if not isinstance(columns, str):
        return tuple(row.values.get(column) for column in columns)
    value = row.values.get(columns)
    if isinstance(value, str):  # a CSV cell can hold a list only as JSON
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return tuple(value) if isinstance(value, list) else None


def _concepts(value: object) -> tuple[str, ...]:
    parts: Iterable[object] = value if isinstance(value, list) else str(value or "").split("|")
    return tuple(str(part) for part in parts)
