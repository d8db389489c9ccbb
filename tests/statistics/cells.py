"""The result of one simulation with a known truth: how often an interval covered it, or a warning was raised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Cell:
    """One cell of the table in docs/results/intervals.md.

    Every simulating module of tests/statistics has ``cells(draws: int) -> Iterator[Cell]``, which uses only public
    functions of the package. `table` collects them all. The texts are keys of random generators and of
    docs/results/intervals.json: changing one changes its numbers.
    """

    figure: str
    """The simulated figure, as the docs name it: ``recall``, ``AUC``, ``CCF``."""
    kind: Literal["coverage", "false alarms", "power"]
    truth: str
    """The known truth, in words: ``accuracy .05``."""
    size: str
    """The size of one draw: ``30 facts of 2 questions``."""
    nominal: float
    """The nominal share, from 0 to 1: 0.95 for intervals, the nominal rate of alarms, the docs' claim for power."""
    found: float
    """The share of draws that cover the truth or raise the warning, from 0 to 1."""
    draws: int
    width: float | None = None
    """For coverage, the median width of the intervals; None if it was not measured."""

    unbounded: float = 0.0
    """For coverage, the share of draws whose interval is unbounded and so holds every truth."""
