"""One record of a table file, or the reason why it is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from duolearn_cli.data.items import Rejected


class Row(NamedTuple):
    """One record: its number as an editor or spreadsheet shows it, and its values by column.

    The header of a CSV file is row 1; a JSON line has its line number; Parquet and JSON arrays count from 1.
    """

    number: int
    values: dict[str, Any]


Entry = Row | Rejected


def malformed(file: Path, number: int, detail: str) -> Rejected:
    """The record at `number` of `file`, which cannot be read."""
    return Rejected(str(file), number, None, "malformed_row", detail)
