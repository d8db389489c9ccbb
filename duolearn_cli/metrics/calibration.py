"""Whether a model's confidence in its answers is right, and whether it prefers a place among the options."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from duolearn_cli.metrics.closed_forms import CONFIDENCE
from duolearn_cli.metrics.intervals import Estimate, by_cluster, difference, distance, mean

BINS = 10


def expected_calibration_error(
    confidences: Sequence[float], correct: Sequence[float], facts: Sequence[str], bins: int = BINS
) -> Estimate:
    """ECE (Guo et al. 2017): the sum over `bins` of equal width of |correct answers - confidence| over all items.

    A confidence on an edge belongs to the bin below it. Its interval is that of a `distance`.
    """
    place = np.clip(np.ceil(np.asarray(confidences, dtype=float) * bins).astype(int) - 1, 0, bins - 1)
    gap = np.asarray(correct, dtype=float) - np.asarray(confidences, dtype=float)
    columns = [by_cluster(np.where(place == b, gap, 0.0).tolist(), facts) for b in range(bins)]
    return distance(columns, by_cluster([1.0] * len(facts), facts), n=len(facts))


def normalised_entropy(chances: Sequence[Sequence[float]], facts: Sequence[str]) -> Estimate:
    """The mean entropy of the options' probabilities, as a share of the largest possible: 1 is "any may be right"."""
    values = [-sum(p * math.log(p) for p in row if p > 0) / math.log(len(row)) for row in chances]
    return mean(values, facts, most=1.0)


def position_shares(positions: Sequence[int]) -> list[float]:
    """The share of each place among the options, the first place first."""
    counts = np.bincount(np.asarray(positions, dtype=int))
    return (counts / max(1, counts.sum())).tolist()


def position_bias(predictions: Sequence[int], answers: Sequence[int], facts: Sequence[str]) -> Estimate:
    """Total variation between the places that were answered and those of the right answers: 0 no bias, 1 the most.

    Half the sum over places of |share predicted - share right|. Its interval is that of a `distance`.
    """
    places = range(1 + max([*predictions, *answers], default=0))
    columns = [
        by_cluster([float(p == place) - float(a == place) for p, a in zip(predictions, answers, strict=True)], facts)
        / 2
        for place in places
    ]
    return distance(columns, by_cluster([1.0] * len(facts), facts), n=len(facts))


def favourite_place(predictions: Sequence[int], answers: Sequence[int], facts: Sequence[str]) -> Estimate:
    """How much more often the place that is answered most beyond its right is answered than right.

    The difference of two shares of the same items; 0 if places are answered as often as they are right. Its interval is
    widened for the choice among the places (Bonferroni). Needs one item at least.
    """
    said, right = np.asarray(predictions, dtype=int), np.asarray(answers, dtype=int)
    count = 1 + int(max(said.max(), right.max()))
    surplus = np.bincount(said, minlength=count) - np.bincount(right, minlength=count)
    place = int(surplus.argmax())
    confidence = 1 - (1 - CONFIDENCE) / count
    return difference((said == place).astype(float), (right == place).astype(float), facts, confidence=confidence)
