"""Coverage of shares (accuracy, recall, invalid answers, FR, agreement) and of mean losses."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from duolearn_cli.evaluation.metrics.intervals import Estimate, mean, proportion
from tests.statistics.cells import Cell
from tests.statistics.drawing import SIZES, answers, coverage, generator, names, size

TRUTHS = (0.005, 0.05, 0.25, 0.5, 0.95, 0.995)
# The number of questions of a fact, and their intraclass correlation.
DESIGNS = ((1, 0.0), (4, 0.0), (4, 0.3), (4, 0.7))
# Distributions of losses, with their means. The skewness is 2 for the exponential, 6 for the log-normal, 3.7 for gamma.
LOSSES = {"exponential": 1.0, "log-normal": float(np.exp(0.5)), "gamma .3": 0.3}


def cells(draws: int) -> Iterator[Cell]:
    """Shares in every design, then mean losses of facts with two phrasings."""
    for questions, together in DESIGNS:
        for facts in SIZES:
            for truth in TRUTHS:
                yield share(facts, questions, together, truth, draws)
    for kind in LOSSES:
        for facts in SIZES:
            yield loss(facts, kind, draws)


def share(facts: int, questions: int, together: float, truth: float, draws: int) -> Cell:
    rng, owners = generator("share", facts, questions, together, truth), names(facts, questions)

    def estimate() -> Estimate:
        return proportion(answers(rng, truth, together, facts, questions).tolist(), owners)

    apart = f", correlation {together:g}" if questions > 1 else ""
    return coverage("accuracy, recall, FR", (truth, f"{truth:g}"), size(facts, questions) + apart, draws, estimate)


def loss(facts: int, kind: str, draws: int) -> Cell:
    rng, owners = generator("loss", facts, kind), names(facts, 2)

    def estimate() -> Estimate:
        drawn = {
            "exponential": lambda: rng.exponential(1, facts),
            "log-normal": lambda: rng.lognormal(0, 1, facts),
            "gamma .3": lambda: rng.gamma(0.3, 1, facts),
        }[kind]()
        return mean(np.repeat(drawn, 2), owners)

    return coverage("mean loss", (LOSSES[kind], kind), size(facts, 2) + ", correlation 1", draws, estimate)
