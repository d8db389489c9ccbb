"""Simulations of the test of equivalence to gold, for a finished run and for the repeated looks of `unlearn.stop`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from duolearn_cli.evaluation.metrics.gold import LEVEL, MARGIN, way
from duolearn_cli.pipeline.early_stopping import LOOKS_TO_STOP, NEAR
from tests.statistics.cells import Cell
from tests.statistics.seeds import rate


def away(rng: np.random.Generator, gone: float, looks: int, facts: int, margin: float, noise: float = 1.5) -> bool:
    """Whether any of several looks declares a model equivalent to gold whose true share of the way is `gone`.

    Gold's losses vary between facts, and the model's vary around them. Most of the latter stays the same between looks.
    """
    gold = 4.0 + noise * rng.standard_normal(facts)
    own = noise * 0.7 * rng.standard_normal(facts)
    for _ in range(looks):
        model = gone * gold + own + noise * 0.2 * rng.standard_normal(facts)
        target = [0.0] * facts
        fact = [f"f{k}" for k in range(facts)]
        if way(target, gold.tolist(), model.tolist(), fact, margin=margin, level=LEVEL / looks).is_shown:
            return True
    return False


def untouched(rng: np.random.Generator, share: float, looks: int, facts: int, margin: float) -> bool:
    """Whether any of several looks declares a model equivalent to gold that left a share of the facts untouched.

    The other facts are like gold's, with a little noise at each look. An untouched fact stays untouched.
    """
    gold = np.maximum(0.2, 4.0 + 1.5 * rng.standard_normal(facts))
    is_left, fact = rng.random(facts) < share, [f"f{k}" for k in range(facts)]
    for _ in range(looks):
        model = np.where(is_left, 0.0, gold + 0.3 * rng.standard_normal(facts)).tolist()
        if way([0.0] * facts, gold.tolist(), model, fact, margin=margin, level=LEVEL / looks).is_shown:
            return True
    return False


def cells(draws: int) -> Iterator[Cell]:
    """False alarms and power, at a single look and over the looks of a run."""
    for size in (15, 30, 37, 100, 450):
        for looks in (1, LOOKS_TO_STOP):
            figure = "ends where gold ends" if looks == 1 else "unlearn.stop"
            drawn_size = f"{size} facts of {looks} looks" if looks > 1 else f"{size} facts"
            margin = MARGIN if looks == 1 else NEAR
            for gone in (1 - margin, 1 + margin):
                truth = f"{gone:.0%} of the way, margin {margin:.0%}"
                yield rate(figure, "false alarms", truth, drawn_size, LEVEL, draws, away, gone, looks, size, margin)
            truth = f"{margin:.0%} of facts untouched, margin {margin:.0%}"
            yield rate(figure, "false alarms", truth, drawn_size, LEVEL, draws, untouched, margin, looks, size, margin)
            yield rate(figure, "power", "as gold", drawn_size, 0.5, draws, away, 1.0, looks, size, margin)
