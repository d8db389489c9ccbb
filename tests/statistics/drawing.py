"""Draws with a known truth: questions right or wrong, facts whose questions go together, before and after."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import numpy as np

from duolearn_cli.evaluation.metrics.intervals import Estimate
from tests.statistics.cells import Cell

SIZES = (10, 30, 100, 450)


def generator(*key: object) -> np.random.Generator:
    """Of its own for each cell: no cell depends on which others are simulated."""
    return np.random.default_rng(random.Random(repr(key)).getrandbits(64))


def names(facts: int, questions: int) -> list[str]:
    """The fact of each question, in the order of `shares` flattened."""
    return [f"f{k:04}" for k in range(facts) for _ in range(questions)]


def probabilities(rng: np.random.Generator, share: float, together: float, facts: int) -> np.ndarray:
    """How likely each fact's questions are answered right: beta, with `together` as intraclass correlation."""
    if share in (0.0, 1.0) or together == 0:
        return np.full(facts, share)
    spread = (1 - together) / together
    return rng.beta(share * spread, (1 - share) * spread, facts)


def answers(rng: np.random.Generator, share: float, together: float, facts: int, questions: int) -> np.ndarray:
    """1 for right, else 0. Shape: [facts * questions]."""
    chance = probabilities(rng, share, together, facts)
    return (rng.random((facts, questions)) < chance[:, None]).astype(float).ravel()


def after(
    rng: np.random.Generator, before: np.ndarray, keep: float, gain: float, together: float, facts: int
) -> np.ndarray:
    """Right answers stay right with probability `keep`, wrong ones become so with `gain`. Shape: as `before`."""
    questions = len(before) // facts
    kept, gained = (np.repeat(probabilities(rng, share, together, facts), questions) for share in (keep, gain))
    return (rng.random(len(before)) < np.where(before == 1, kept, gained)).astype(float)


def coverage(figure: str, truth: tuple[float, str], size: str, draws: int, estimate: Callable[[], Estimate]) -> Cell:
    """How often the interval of a new draw's estimate holds the truth (its value and its name)."""
    covered, unbounded, widths = 0, 0, []
    for _ in range(draws):
        found = estimate()
        if found.unbounded:
            unbounded += 1
            covered += 1
        elif found.low is not None and found.high is not None:
            covered += found.low <= truth[0] + 1e-12 and truth[0] - 1e-12 <= found.high
            widths.append(found.high - found.low)
    width = float(np.median(widths)) if widths else None
    return Cell(figure, "coverage", truth[1], size, 0.95, covered / draws, draws, width, unbounded / draws)


def alarms(flag: str, kind: str, truth: str, size: str, nominal: float, raised: Iterable[bool]) -> Cell:
    """How often a flag was raised: `kind` is false alarms where it should not be, power where it should."""
    found = [bool(one) for one in raised]
    return Cell(flag, kind, truth, size, nominal, sum(found) / len(found), len(found))  # type: ignore[arg-type]


def size(facts: int, questions: int) -> str:
    return f"{facts} facts of {questions} question{'s' * (questions > 1)}"
