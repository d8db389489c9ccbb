"""One record of a table file, or the reason why it cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from duolearn_cli.data.items import Rejected


class Row(NamedTuple):
    """One record: its number, as an editor or spreadsheet shows it, and its values by column.

    In a CSV file the header is row 1. A JSON line has its line number. Parquet and JSON arrays count from 1.
    """

    number: int
    values: dict[str, Any]


Entry = Row | Rejected


def malformed(file: Path, number: int, detail: str) -> Rejected:
    """Return record `number` of `file` as rejected, because it cannot be read."""
    return Rejected(str(file), number, None, "malformed_row", detail)
