"""How wide a screen a table needs. On narrower ones its rows become lists, so that no column is cut."""

from __future__ import annotations

from duolearn_cli.report.tables import Table

# Classes of style.css.j2: the width in pixels below which rows become lists, and the most columns that fit it.
SIZES = {"few": (640, 6), "some": (992, 8), "many": (1376, 12), "crowd": (6400, 1000)}
# At the size of letters in tables, and at most 1.25 of it for wide letters; the page's margins.
CHARACTER, PADDING, MARGINS = 7.6, 20, 32


def size(table: Table) -> str:
    """The class of a table: the first one whose width holds all columns."""
    columns, needed = len(table.header), _narrowest(table)
    fitting = (name for name, (width, most) in SIZES.items() if columns <= most and needed <= width)
    return next(fitting, "crowd")


def _narrowest(table: Table) -> float:
    """The pixels below which a word would break: the sum of each column's longest one."""
    columns = zip(table.header, *table.rows, strict=True)
    return MARGINS + sum(PADDING + CHARACTER * max(map(_longest, column)) for column in columns)


def _longest(cell: str) -> int:
    value, bracket, interval = cell.partition(" [")
    # An interval stays on one line.
    parts = [*value.split(), f"{bracket}{interval}".strip()]
    return max(map(len, parts), default=0)
