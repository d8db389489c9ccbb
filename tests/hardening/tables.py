"""Every table by its kind: what docs/hardening.md counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tests.hardening import (
    command_lines,
    contents,
    encodings,
    model_folders,
    own_groups,
    places,
    reused,
    saved_files,
)
from tests.hardening.row import Row

TABLES: dict[str, Callable[[], Iterable[Row]]] = {
    "file contents and readers": contents.damaged,
    "encodings, Parquet, OBO": encodings.rows,
    "command lines": command_lines.rows,
    "model folders": model_folders.rows,
    "places that the system refuses": lambda: [*places.rows(), *places.inner()],
    "files of runs": lambda: [*saved_files.rows(), *saved_files.metrics()],
    "caches and checkpoints": reused.rows,
    "folders of groups": own_groups.rows,
}


def counts() -> dict[str, tuple[int, int]]:
    """Rows of each table, and how many of them every test run has."""
    found = {name: list(make()) for name, make in TABLES.items()}
    return {name: (len(rows), sum(row.quick for row in rows)) for name, rows in found.items()}
