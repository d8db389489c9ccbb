"""Read the JSON files that runs write: each field has a type, and a file of a newer version is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from duolearn_cli.errors import RunError, UserError
from duolearn_cli.files import read_json, read_text

Types = tuple[type, ...]
NAMES = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    dict: "an object",
    list: "a list",
    bool: "true or false",
}
FIX = "Restore the file as it was written, or make it again with a new run."


def read_object(
    path: Path,
    fields: Mapping[str, Types],
    schema: int | None = None,
    needed: tuple[str, ...] = (),
    error: type[UserError] = RunError,
) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        fields: the types of fields; one that is missing is none unless it is `needed`.
        schema: the newest schema that can be read; None: the file has none.

    Raises:
        UserError: an `error`: the file cannot be read, is no object, is of a newer version, or a field is missing or of
            another type.
    """
    found = read_json(path, error)
    if not isinstance(found, dict):
        raise error(f"{path}: a JSON object is needed, found {_shown(found)}. {FIX}")
    if schema is not None:
        check_schema(path, found, schema, error)
    for name in needed:
        if name not in found:
            raise error(f"{path}: {name!r} is missing. {FIX}")
    for fault in faults(found, fields):
        raise error(f"{path}: {fault}. {FIX}")
    return found


def check_schema(path: Path, found: Mapping[str, Any], schema: int, error: type[UserError] = RunError) -> None:
    """Refuse a schema that is none, or newer than `schema`."""
    version = found.get("schema")
    if type(version) is not int or version < 1:
        raise error(f"{path}: schema {_shown(version)}; a whole number from 1 to {schema} is needed. {FIX}")
    if version > schema:
        raise error(
            f"{path} is of schema {version}, from a newer version of duolearn; this one reads {schema}. Fix: use the "
            "version that wrote it (run.json names it), or a later one."
        )


def faults(found: Mapping[str, Any], fields: Mapping[str, Types]) -> Iterator[str]:
    """Yield each field that is there and has another type. A whole number is a number, true and false are none."""
    for name, types in fields.items():
        if name in found and not _fits(found[name], types):
            allowed = " or ".join(NAMES.get(one, "null") for one in types)
            yield f"{name}={_shown(found[name])}: {allowed} is needed"


def _fits(value: object, types: Types) -> bool:
    if isinstance(value, bool):
        return bool in types
    return isinstance(value, types) or (float in types and isinstance(value, int))


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}..."


def read_lines(path: Path, fields: Mapping[str, Types]) -> list[dict[str, Any]]:
    """Read a file with one JSON object a line, each with all `fields`.

    A last line that has no end was being written when the process was killed or the disk was full: it is left out.

    Raises:
        RunError: another line is no such object; the message names it.
    """
    *lines, rest = read_text(path).split("\n")
    rows = [_row(path, number, line, fields) for number, line in enumerate(lines, start=1) if line.strip()]
    return rows if not rest.strip() else [*rows, *_torn(rest, fields)]


def _torn(line: str, fields: Mapping[str, Types]) -> list[dict[str, Any]]:
    """A last line without an end: itself if it is whole."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return []
    whole = isinstance(found, dict) and fields.keys() <= found.keys() and not any(faults(found, fields))
    return [found] if whole else []


def _row(path: Path, number: int, line: str, fields: Mapping[str, Types]) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path}, line {number}: not JSON ({error}). {FIX}") from error
    if not isinstance(found, dict) or not fields.keys() <= found.keys():
        raise RunError(f"{path}, line {number}: an object with {', '.join(fields)} is needed. {FIX}")
    for fault in faults(found, fields):
        raise RunError(f"{path}, line {number}: {fault}. {FIX}")
    return found
