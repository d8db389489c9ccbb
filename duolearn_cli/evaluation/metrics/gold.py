"""How far a model is from gold, the model that never learned what was to be forgotten (method.md section 8)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from duolearn_cli.evaluation.metrics.closed_forms import hall_arm
from duolearn_cli.evaluation.metrics.intervals import CONFIDENCE, FEW_FACTS, RESAMPLES, by_cluster, mean, proportion

# How far from gold a model may be that is said to be like it, as a share of what learning has changed [D].
MARGIN = 0.1
# Of the test that it is no further.
LEVEL = 0.05


def distance(
    losses: Sequence[float],
    gold_losses: Sequence[float],
    predictions: Sequence[int],
    gold_predictions: Sequence[int],
    facts: Sequence[str],
) -> dict[str, Any]:
    """Distances between two models' losses and answers on the same items, in the same order.

    ``ks``: the Kolmogorov-Smirnov statistic of the two distributions of per-item losses, the largest distance of their
    cumulative shares (as in Maini et al. 2024, "TOFU"). ``ks_p_value``, ``ks_same``: see `permuted`.
    ``nll_distance``: mean |loss - gold's loss| in nats. ``agreement``: share of items with the same answer.
    """
    if not losses:
        return {}
    ours, theirs = np.asarray(losses, dtype=float), np.asarray(gold_losses, dtype=float)
    p_value, same = permuted(ours, theirs, facts)
    apart = np.abs(ours - theirs)
    answers = [float(own == other) for own, other in zip(predictions, gold_predictions, strict=True)]
    return {
        "ks": kolmogorov_smirnov(ours, theirs),
        "ks_p_value": p_value,
        "ks_same": same,
        "nll_distance": mean(apart.tolist(), facts, higher_is_better=False),
        "agreement": proportion(answers, facts, higher_is_better=True),
    }


def kolmogorov_smirnov(first: np.ndarray, second: np.ndarray) -> float:
    """The largest distance between the cumulative shares of two samples [n], [m]."""
    both = np.concatenate([first, second])
    ours, theirs = (np.searchsorted(np.sort(own), both, side="right") / len(own) for own in (first, second))
    return float(np.abs(ours - theirs).max())


def permuted(first: np.ndarray, second: np.ndarray, facts: Sequence[str], seed: int = 0) -> tuple[float, float]:
    """The KS statistic of two models' losses [items] against models that do not differ.

    If the two models do not differ, it does not matter which of them gave which losses of a fact. They are therefore
    swapped at random, whole facts at a time, as phrasings of one fact go together.

    Returns:
        the share of swaps whose statistic is at least the one that was found, a p-value that holds for the same items;
        and what the statistic is at most in 95 % of the swaps.
    """
    values = np.concatenate([first, second])
    order = np.argsort(values, kind="stable")
    _, fact = np.unique(np.asarray(facts, dtype=str), return_inverse=True)
    steps = np.concatenate([np.ones(len(first)), -np.ones(len(second))])[order] / len(first)
    owner = np.concatenate([fact, fact])[order]
    # Shares are compared where the next value is another one.
    ends = np.flatnonzero(np.append(np.diff(values[order]) > 0, True))
    rng = np.random.default_rng(seed)
    found = np.empty(RESAMPLES)
    for start in range(0, RESAMPLES, 250):
        signs = rng.choice([-1.0, 1.0], (len(found[start : start + 250]), fact.max() + 1))
        found[start : start + 250] = np.abs(np.cumsum(signs[:, owner] * steps, axis=1)[:, ends]).max(1)
    own = float(np.abs(np.cumsum(steps)[ends]).max())
    p_value = (1 + int((found >= own - 1e-12).sum())) / (RESAMPLES + 1)
    return p_value, float(np.quantile(found, CONFIDENCE))


@dataclass(frozen=True, slots=True)
class Way:
    """How much of the way from target to gold a model has gone: 1 is as gold, above 1 beyond it.

    Attributes:
        low, high: the interval that has to lie within ``1 +- margin``.
        facts: how many it is over. Fewer than `FEW_FACTS` show nothing: of a few, all may be as gold by chance where
            one in ten is not.
    """

    value: float
    low: float
    high: float
    margin: float
    facts: int

    @property
    def is_shown(self) -> bool:
        """Whether it is shown that the model is no further from gold than the margin, on either side."""
        return self.facts >= FEW_FACTS and 1 - self.margin <= self.low and self.high <= 1 + self.margin


def way(
    target: Sequence[float],
    gold: Sequence[float],
    own: Sequence[float],
    facts: Sequence[str],
    *,
    margin: float = MARGIN,
    level: float = LEVEL,
) -> Way:
    """The test of equivalence to gold (TOST, Schuirmann 1987) of a mean over items, by facts.

    Two one-sided t-tests at `level` each, over facts, of whether the share ``(target - own) / (target - gold)`` of
    means is below ``1 - margin`` or above ``1 + margin``: both are refused where the interval of twice the level lies
    within. So where a model is further from gold than the margin, this is said not to be so with a chance of about
    `level`. Losses are skewed where most facts are as gold and a few untouched; Hall's (1992) transformation allows for
    that. Infinite bounds where target and gold do not differ, or there are fewer than two facts.
    """
    drop = by_cluster([t - o for t, o in zip(target, own, strict=True)], facts)
    room = by_cluster([t - g for t, g in zip(target, gold, strict=True)], facts)
    total, count = float(room.sum()), len(room)
    if total == 0 or count < 2:
        return Way(math.nan, -math.inf, math.inf, margin, count)
    value = float(drop.sum()) / total
    # Each hypothesis by itself, as Fieller does: whether drop - (1 -+ margin) room is above, or below, 0.
    below, above = ((drop - bound * room) / float(room.mean()) for bound in (1 - margin, 1 + margin))
    return Way(value, value - hall_arm(below, 1 - level), value - hall_arm(above, level), margin, count)


def likeness(
    target: Mapping[str, Sequence[float]],
    gold: Mapping[str, Sequence[float]],
    own: Mapping[str, Sequence[float]],
    facts: Sequence[str],
) -> dict[str, Any]:
    """Whether a model ends where gold ends: `way` by name of what is compared, ``margin``, and ``shown``.

    It is shown where it is for each of them: the level holds for all together.
    """
    ways = {name: way(target[name], gold[name], own[name], facts) for name in own}
    told = {name: {"value": one.value, "low": one.low, "high": one.high} for name, one in ways.items()}
    return {**told, "margin": MARGIN, "shown": all(one.is_shown for one in ways.values())}
