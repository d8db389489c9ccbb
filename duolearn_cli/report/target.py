"""Tables of what a forget target covers, from `concepts.coverage` or from its copy in target.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from duolearn_cli.concepts.concept import LEVELS
from duolearn_cli.report.tables import DASH, Table

SHOWN = 15


def level_counts(covered: Mapping[str, Any]) -> Table:
    """Return the table of the target's concepts by level. Levels may be numbers or, read from JSON, strings."""
    rows = tuple(
        (f"{level} {LEVELS[int(level)]}", *(str(row[kind]) for kind in ("forget", "boundary", "kept")))
        for level, row in covered["concepts"].items()
    )
    return Table(
        "Concepts of the target", ("Level", "To forget", "Boundary (preserved)", "Exceptions (preserved)"), rows
    )


def item_counts(covered: Mapping[str, Any]) -> Table:
    """Return the table of items by the kind of concepts that they mention."""
    header = ("Items", "mention a target concept", "a boundary concept", "another concept", "none")
    rows = tuple(
        (f"to {side}", *(str(counts[kind]) for kind in ("target", "boundary", "other", "none")))
        for side, counts in covered["items"].items()
    )
    return Table("Items by the concepts they mention", header, rows)


def boundary_table(covered: Mapping[str, Any], most: int = SHOWN) -> Table:
    """Return the table of the boundary concepts that forget items mention most, and where else each belongs."""
    entries = covered["boundary"][:most]
    rows = tuple(
        (entry["name"], ", ".join(entry["also_under"]) or DASH, str(entry["forget_items"]), str(entry["retain_items"]))
        for entry in entries
    )
    title = f"Boundary: {len(entries)} of {len(covered['boundary'])} concepts that also lie outside the target"
    return Table(title, ("Concept", "Also under", "In forget items", "In retain items"), rows, num_text=2)
