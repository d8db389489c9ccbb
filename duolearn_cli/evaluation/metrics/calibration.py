"""Whether a model's confidence in its answers is right, and whether it prefers a place among the options."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest

import numpy as np

from duolearn_cli.evaluation.metrics.closed_forms import CONFIDENCE
from duolearn_cli.evaluation.metrics.intervals import Estimate, by_cluster, difference, distance, mean

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


def as_shares(places: Sequence[int]) -> list[list[float]]:
    """Of each item 1 in its place among the options and 0 before it."""
    return [[float(k == place) for k in range(place + 1)] for place in places]


def position_shares(chosen: Sequence[Sequence[float]]) -> list[float]:
    """The mean share of each place among the options, the first place first; options that are not there have none.

    `chosen` has a row an item and a share an option, in all 1.
    """
    return [math.fsum(column) / len(chosen) for column in zip_longest(*chosen, fillvalue=0.0)]


def position_bias(chosen: Sequence[Sequence[float]], answers: Sequence[int], facts: Sequence[str]) -> Estimate:
    """Total variation between the places that were answered and those of the right answers: 0 no bias, 1 the most.

    Half the sum over places of |share chosen - share right|; `chosen` is as for `position_shares`. Its interval is that
    of a `distance`.
    """
    count = len(answers)
    columns = [
        by_cluster([said - right for said, right in zip(place[:count], place[count:], strict=True)], facts) / 2
        for place in zip_longest(*chosen, *as_shares(answers), fillvalue=0.0)
    ]
    return distance(columns, by_cluster([1.0] * len(facts), facts), n=len(facts))


def favourite_place(chosen: Sequence[Sequence[float]], answers: Sequence[int], facts: Sequence[str]) -> Estimate:
    """How much more often the place that is answered most beyond its right is answered than right.

    The difference of two shares of the same items; 0 if places are answered as often as they are right. Its interval is
    widened for the choice among the places (Bonferroni). Needs one item at least; `chosen` as for `position_shares`.
    """
    places = np.array(list(zip_longest(*chosen, *as_shares(answers), fillvalue=0.0)))
    said, right = np.split(places, 2, axis=1)
    place = int((said - right).sum(axis=1).argmax())
    return difference(said[place], right[place], facts, confidence=1 - (1 - CONFIDENCE) / len(places))
