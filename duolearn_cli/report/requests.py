"""What earlier requests of a chain forgot, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from duolearn_cli.report.tables import DASH, Table, cell

HEADER = ("Earlier request", "Items", "Before any (%)", "Before this (%)", "Now (%)", "Gold (%)", "Still forgotten (%)")
MODELS = ("original", "target", "unlearned", "gold")


def requests_table(entries: Sequence[Mapping[str, Any]]) -> Table | None:
    """Right answers to the items of each earlier request; None for a first request.

    ``Still forgotten`` goes from what was known before any request, 0 %, to gold, which never learned it, 100 %.
    """
    rows = [
        (
            str(entry["name"]),
            str(entry["items"]),
            *(_percent(entry["accuracy"].get(model)) for model in MODELS),
            _percent(entry.get("still_forgotten")),
        )
        for entry in entries
    ]
    return Table("What earlier requests forgot, with 95 % intervals", HEADER, tuple(rows)) if rows else None


def _percent(estimate: Mapping[str, Any] | None) -> str:
    return cell(estimate, 100, 1) if estimate else DASH
