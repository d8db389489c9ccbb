"""The distance of a model from gold, the model that never learned the forget set (docs/measuring.md)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from duolearn_cli.evaluation.metrics.closed_forms import hall_arm
from duolearn_cli.evaluation.metrics.intervals import CONFIDENCE, FEW_FACTS, RESAMPLES, by_cluster, mean, proportion

# A model counts as equivalent to gold within this margin, a share of the distance from target to gold [D].
MARGIN = 0.1
# Significance level of the test of equivalence.
LEVEL = 0.05


def distance(
    losses: Sequence[float],
    gold_losses: Sequence[float],
    predictions: Sequence[int],
    gold_predictions: Sequence[int],
    facts: Sequence[str],
) -> dict[str, Any]:
    """Distances between a model and gold on the same items, given in the same order.

    Args:
        losses: the model's loss on each item, in nats per token.
        gold_losses: gold's losses.
        predictions: the option that the model answers, by item.
        gold_predictions: gold's answers.
        facts: the fact of each item.

    Returns:
        ``ks``: the Kolmogorov-Smirnov statistic of the two distributions of losses, as in Maini et al. 2024, "TOFU".
        ``ks_p_value`` and ``ks_same``: see `permuted`. ``nll_distance``: the mean of |loss - gold's loss| in nats.
        ``agreement``: the share of items with the same answer. Empty if there are no items.
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
    """The largest distance between the cumulative distributions of two samples. Shapes: [n], [m] -> scalar."""
    both = np.concatenate([first, second])
    ours, theirs = (np.searchsorted(np.sort(own), both, side="right") / len(own) for own in (first, second))
    return float(np.abs(ours - theirs).max())


def permuted(first: np.ndarray, second: np.ndarray, facts: Sequence[str], seed: int = 0) -> tuple[float, float]:
    """A permutation test of the Kolmogorov-Smirnov statistic of two models' losses. Shapes: [items], [items].

    Under the null hypothesis the two models do not differ, so it does not matter which of them gave which losses. The
    losses are therefore swapped between the models at random, whole facts at a time, since phrasings of one fact are
    not independent.

    Returns:
        The p-value: the share of swaps whose statistic is at least the observed one. And the statistic that 95 % of the
        swaps stay below.
    """
    values = np.concatenate([first, second])
    order = np.argsort(values, kind="stable")
    _, fact = np.unique(np.asarray(facts, dtype=str), return_inverse=True)
    steps = np.concatenate([np.ones(len(first)), -np.ones(len(second))])[order] / len(first)
    owner = np.concatenate([fact, fact])[order]
    # With ties, the cumulative distributions are compared after the last of several equal values.
    ends = np.flatnonzero(np.append(np.diff(values[order]) > 0, True))
    rng = np.random.default_rng(seed)
    swapped = np.empty(RESAMPLES)
    # In blocks of 250 swaps, which bounds the memory to 250 numbers for each loss.
    for start in range(0, RESAMPLES, 250):
        signs = rng.choice([-1.0, 1.0], (len(swapped[start : start + 250]), fact.max() + 1))
        swapped[start : start + 250] = np.abs(np.cumsum(signs[:, owner] * steps, axis=1)[:, ends]).max(1)
    own = float(np.abs(np.cumsum(steps)[ends]).max())
    # The observed assignment counts as one of the swaps, so that the p-value is never zero.
    p_value = (1 + int((swapped >= own - 1e-12).sum())) / (RESAMPLES + 1)
    return p_value, float(np.quantile(swapped, CONFIDENCE))


@dataclass(frozen=True, slots=True)
class Way:
    """How far a model has moved from target towards gold: 0 is the target, 1 is gold, above 1 is beyond gold.

    Attributes:
        value: the share of the way.
        low: lower end of the interval that has to lie within ``1 +- margin``.
        high: its upper end.
        margin: the margin of equivalence.
        facts: the number of facts. Fewer than `FEW_FACTS` show nothing: if one fact in ten is unlike gold, a few facts
            may all be like gold by chance.
    """

    value: float
    low: float
    high: float
    margin: float
    facts: int

    @property
    def is_shown(self) -> bool:
        """Whether equivalence is shown: the model is within the margin of gold on either side."""
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
    """Test whether a model is equivalent to gold in the mean of a figure over items (TOST, Schuirmann 1987).

    Two one-sided t-tests over facts ask whether the share of the way ``(target - own) / (target - gold)``, a ratio of
    means, is below ``1 - margin`` or above ``1 + margin``. Both are rejected exactly if the returned interval, of
    confidence ``1 - 2 * level``, lies within ``1 +- margin``. A model further from gold than the margin is thus
    declared equivalent with a probability of about `level`. Losses are skewed if most facts are like gold and a few
    are untouched; Hall's (1992) transformation corrects for it.

    Args:
        target: the target's figure for each item.
        gold: gold's figures.
        own: the model's figures.
        facts: the fact of each item.
        margin: the margin of equivalence.
        level: the significance level of each test.

    Returns:
        The share of the way; with infinite bounds if target and gold do not differ, or with fewer than two facts.
    """
    drop = by_cluster([t - o for t, o in zip(target, own, strict=True)], facts)
    room = by_cluster([t - g for t, g in zip(target, gold, strict=True)], facts)
    total, count = float(room.sum()), len(room)
    if total == 0 or count < 2:
        return Way(math.nan, -math.inf, math.inf, margin, count)
    value = float(drop.sum()) / total
    # As in Fieller's method, each hypothesis is about a mean: is that of drop - (1 -+ margin) * room above, below 0?
    below, above = ((drop - bound * room) / float(room.mean()) for bound in (1 - margin, 1 + margin))
    return Way(value, value - hall_arm(below, 1 - level), value - hall_arm(above, level), margin, count)


def likeness(
    target: Mapping[str, Sequence[float]],
    gold: Mapping[str, Sequence[float]],
    own: Mapping[str, Sequence[float]],
    facts: Sequence[str],
) -> dict[str, Any]:
    """The `likeness` section of metrics.json: whether a model ends where gold ends.

    Args:
        target: the target's value for each item, by the name of the figure.
        gold: gold's values.
        own: the model's values.
        facts: the fact of each item.

    Returns:
        The share of the way for each figure, ``margin``, and ``shown``. Equivalence is shown only if it is for every
        figure, and no correction for several tests is needed then.
    """
    ways = {name: way(target[name], gold[name], own[name], facts) for name in own}
    by_name = {name: {"value": one.value, "low": one.low, "high": one.high} for name, one in ways.items()}
    return {**by_name, "margin": MARGIN, "shown": all(one.is_shown for one in ways.values())}
