"""Read the records of a JSON file: one on each line, an array, an object around an array, or one after the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from duolearn_cli.data.items import Rejected
from duolearn_cli.data.readers.row import Entry, Row, malformed
from duolearn_cli.errors import DataError

# Keys of a list of records in an object around it.
_AROUND = (
    "data",
    "rows",
    "records",
    "items",
    "questions",
    "examples",
    "instances",
    "train",
    "test",
    "dev",
    "validation",
)
_RECORDS = "to_json(FILE, orient='records', lines=True)"


class _TwiceError(ValueError):
    """An object has a key twice. Python's parser would silently keep the last value."""


def read_json(file: Path, text: str) -> Iterator[Entry]:
    """Yield the records of a JSON text; `file` only names it in messages.

    Raises:
        DataError: the text is JSON, but in a layout without records. The message names the layout.
    """
    if text.lstrip().startswith("["):
        yield from _array(file, text)
        return
    # JSON lines are the usual case. If not even the first line parses, records may be pretty-printed over many lines.
    entries = list(_lines(file, text))
    if len(entries) > 1 and isinstance(entries[0], Rejected) and (values := _values(text)) is not None:
        entries = [_entry(file, number, value) for number, value in values]
    if len(entries) == 1 and isinstance(entries[0], Row):
        yield from _whole(file, entries[0])
        return
    yield from entries


def _lines(file: Path, text: str) -> Iterator[Entry]:
    # Not splitlines(): it also breaks at U+2028 and the like, which JSON allows inside a string.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield _line(file, number, line)


def _line(file: Path, number: int, line: str) -> Entry:
    try:
        value = _load(line.rstrip().removesuffix(","))  # lines copied from an array end in a comma
    except (ValueError, RecursionError) as error:
        return malformed(file, number, f"not JSON: {error}")
    return _entry(file, number, value)


def _load(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _TwiceError(f"the key {twice!r} occurs twice")
    return values


def _values(text: str) -> list[tuple[int, Any]] | None:
    """Return the JSON values that follow one another in `text`, each with its first line, or None for another text.

    White space or commas may separate the values.
    """
    decoder, place, values = json.JSONDecoder(object_pairs_hook=_object), 0, []
    while True:
        while place < len(text) and (text[place].isspace() or text[place] == ","):
            place += 1
        if place == len(text):
            return values
        try:
            value, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            return None
        values.append((text.count("\n", 0, place) + 1, value))
        place = end


def _array(file: Path, text: str) -> Iterator[Entry]:
    try:
        records = _load(text)
    except _TwiceError as error:
        raise DataError(f"{file}: {error} in one object of the array; rename one of the two.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: begins like a JSON array but is not one: {error}.") from error
    for number, value in enumerate(records, start=1):
        yield _entry(file, number, value)


def _whole(file: Path, row: Row) -> Iterator[Entry]:
    """Yield the records of a file that is one object: an object around the records, or a single record.

    Raises:
        DataError: the object has several lists of records, or is a data frame that pandas saved in another layout.
    """
    values = row.values
    around = [key for key in values if (len(values) == 1 or key.lower() in _AROUND) and _are_records(values[key])]
    if len(around) > 1:
        raise DataError(
            f"{file}: one JSON object with several lists of records: {', '.join(around)}. Save each to its own file."
        )
    if around:
        for number, value in enumerate(values[around[0]], start=1):
            yield _entry(file, number, value)
        return
    if {"columns", "data"} <= values.keys():
        raise DataError(f"{file}: a data frame saved in the layout 'split'; save it with {_RECORDS}.")
    if _is_frame(values):
        columns = ", ".join(list(values)[:4])
        raise DataError(
            f"{file}: a data frame saved by column (an object of the columns {columns}, each with its rows), which is "
            f"the default of pandas' to_json; save it with {_RECORDS}."
        )
    yield row


def _are_records(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _is_frame(values: dict[str, Any]) -> bool:
    """Return whether an object is a data frame, {column: values}, and not a record.

    The values are then objects with the same keys, or lists of the same length above one.
    """
    columns = list(values.values())
    if columns and all(isinstance(one, dict) for one in columns):
        return len({tuple(one) for one in columns}) == 1
    lengths = {len(one) for one in columns if isinstance(one, list)}
    return bool(columns) and all(isinstance(one, list) for one in columns) and len(lengths) == 1 and lengths != {1}


def _entry(file: Path, number: int, value: object) -> Entry:
    if isinstance(value, dict):
        return Row(number, value)
    return malformed(file, number, f"a JSON object is needed, found {type(value).__name__}")
