"""Records of a JSON file: one a line, an array, an object around an array, or pretty-printed one after the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from duolearn_cli.data.items import Rejected
from duolearn_cli.data.readers.row import Entry, Row, malformed
from duolearn_cli.errors import DataError

# What objects around records call them.
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
    """An object names a key twice, of which Python would keep the last."""


def read_json(file: Path, text: str) -> Iterator[Entry]:
    """Yield the records of a JSON text.

    Raises:
        DataError: the file is JSON of a layout that holds no records, with what it is.
    """
    if text.lstrip().startswith("["):
        yield from _array(file, text)
        return
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
        value = _load(line.rstrip().removesuffix(","))  # lines cut out of an array keep their commas
    except (ValueError, RecursionError) as error:
        return malformed(file, number, f"not JSON: {error}")
    return _entry(file, number, value)


def _load(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _TwiceError(f"the key {twice!r} stands there twice")
    return found


def _values(text: str) -> list[tuple[int, Any]] | None:
    """JSON values one after the other, each with its first line; None where the text is something else."""
    decoder, place, found = json.JSONDecoder(object_pairs_hook=_object), 0, []
    while True:
        while place < len(text) and (text[place].isspace() or text[place] == ","):
            place += 1
        if place == len(text):
            return found
        try:
            value, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            return None
        found.append((text.count("\n", 0, place) + 1, value))
        place = end


def _array(file: Path, text: str) -> Iterator[Entry]:
    try:
        records = _load(text)
    except _TwiceError as error:
        raise DataError(f"{file}: {error} in one object of the array; rename one of the two.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: starts as a JSON array but is not one: {error}.") from error
    for number, value in enumerate(records, start=1):
        yield _entry(file, number, value)


def _whole(file: Path, row: Row) -> Iterator[Entry]:
    """A file that is one object: around the records, a data frame, or one record."""
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
            f"{file}: a data frame saved by column (an object of the columns {columns}, each with its rows), as "
            f"pandas' to_json does it unless told otherwise; save it with {_RECORDS}."
        )
    yield row


def _are_records(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _is_frame(values: dict[str, Any]) -> bool:
    """Whether all values are objects with the same keys, or lists of one length above one: columns, not a record."""
    columns = list(values.values())
    if columns and all(isinstance(one, dict) for one in columns):
        return len({tuple(one) for one in columns}) == 1
    lengths = {len(one) for one in columns if isinstance(one, list)}
    return bool(columns) and all(isinstance(one, list) for one in columns) and len(lengths) == 1 and lengths != {1}


def _entry(file: Path, number: int, value: object) -> Entry:
    if isinstance(value, dict):
        return Row(number, value)
    return malformed(file, number, f"a JSON object is needed, found {type(value).__name__}")
