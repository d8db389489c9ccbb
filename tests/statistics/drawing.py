"""Draws with a known truth: right and wrong answers, correlated within facts, before and after unlearning."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import numpy as np

from duolearn_cli.evaluation.metrics.intervals import Estimate
from tests.statistics.cells import Cell

SIZES = (10, 30, 100, 450)


def generator(*key: object) -> np.random.Generator:
    """A generator for each cell, so that no cell depends on which others are simulated. `key` is its seed."""
    return np.random.default_rng(random.Random(repr(key)).getrandbits(64))


def names(facts: int, questions: int) -> list[str]:
    """The fact of each question, in the order of `answers`."""
    return [f"f{k:04}" for k in range(facts) for _ in range(questions)]


def probabilities(rng: np.random.Generator, share: float, together: float, facts: int) -> np.ndarray:
    """Each fact's probability of a right answer: beta distributed, with `together` as intraclass correlation."""
    if share in (0.0, 1.0) or together == 0:
        return np.full(facts, share)
    spread = (1 - together) / together
    return rng.beta(share * spread, (1 - share) * spread, facts)


def answers(rng: np.random.Generator, share: float, together: float, facts: int, questions: int) -> np.ndarray:
    """Answers: 1 if right, else 0. Shape: [facts * questions]."""
    chance = probabilities(rng, share, together, facts)
    return (rng.random((facts, questions)) < chance[:, None]).astype(float).ravel()


def after(
    rng: np.random.Generator, before: np.ndarray, keep: float, gain: float, together: float, facts: int
) -> np.ndarray:
    """Answers after: right ones stay so with probability `keep`, wrong ones become right with `gain`; as `before`."""
    questions = len(before) // facts
    kept, gained = (np.repeat(probabilities(rng, share, together, facts), questions) for share in (keep, gain))
    return (rng.random(len(before)) < np.where(before == 1, kept, gained)).astype(float)


def coverage(figure: str, truth: tuple[float, str], size: str, draws: int, estimate: Callable[[], Estimate]) -> Cell:
    """How often the interval of a newly drawn estimate holds the truth, which is given as value and in words."""
    covered, unbounded, widths = 0, 0, []
    for _ in range(draws):
        one = estimate()
        if one.unbounded:
            unbounded += 1
            covered += 1
        elif one.low is not None and one.high is not None:
            covered += one.low <= truth[0] + 1e-12 and truth[0] - 1e-12 <= one.high
            widths.append(one.high - one.low)
    width = float(np.median(widths)) if widths else None
    return Cell(figure, "coverage", truth[1], size, 0.95, covered / draws, draws, width, unbounded / draws)


def alarms(flag: str, kind: str, truth: str, size: str, nominal: float, raised: Iterable[bool]) -> Cell:
    """How often a warning was raised. `kind` is ``false alarms`` if it should not be, ``power`` if it should."""
    draws = [bool(one) for one in raised]
    return Cell(flag, kind, truth, size, nominal, sum(draws) / len(draws), len(draws))  # type: ignore[arg-type]


def size(facts: int, questions: int) -> str:
    return f"{facts} facts of {questions} question{'s' * (questions > 1)}"
