"""What one simulation with a known truth found: how often an interval covered it, or a verdict was given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Cell:
    """One cell of the table in docs/intervals.md.

    Each module of tests/statistics that simulates has ``cells(draws: int) -> Iterator[Cell]``, made by the package's
    public functions alone; `table` collects them all.
    """

    figure: str
    """What is simulated, as the docs name it: ``recall``, ``AUC``, ``CCF``."""
    kind: Literal["coverage", "false alarms", "power"]
    truth: str
    """The known truth, in words: ``accuracy .05``."""
    size: str
    """What a draw holds: ``30 facts of 2 questions``."""
    nominal: float
    """The promise, from 0 to 1: .95 for intervals; for alarms the nominal rate; for power what docs claim."""
    found: float
    """The share of draws, from 0 to 1."""
    draws: int
    width: float | None = None
    """The median width of the intervals, where `kind` is coverage; None where it is not asked."""

    unbounded: float = 0.0
    """The share of draws whose interval is unbounded, where `kind` is coverage: these hold every truth."""
