"""Calibration: whether a model's confidence matches its accuracy, and whether it prefers a position of the options."""

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
    """The expected calibration error (ECE, Guo et al. 2017), with the interval of `intervals.distance`.

    The sum over bins of equal width of ``|sum of (correct - confidence) in the bin|``, divided by the number of items.
    A confidence on the edge of two bins belongs to the lower one.

    Args:
        confidences: the probability of the answer, by item.
        correct: 1 for a right answer, 0 for a wrong one, a share for a tie.
        facts: the fact of each item.
        bins: the number of bins.
    """
    index = np.clip(np.ceil(np.asarray(confidences, dtype=float) * bins).astype(int) - 1, 0, bins - 1)
    gap = np.asarray(correct, dtype=float) - np.asarray(confidences, dtype=float)
    # Items of other bins count 0 in a bin's column, so that all columns are over the same facts.
    columns = [by_cluster(np.where(index == b, gap, 0.0).tolist(), facts) for b in range(bins)]
    return distance(columns, by_cluster([1.0] * len(facts), facts), n=len(facts))


def normalised_entropy(chances: Sequence[Sequence[float]], facts: Sequence[str]) -> Estimate:
    """The mean entropy of the options' probabilities, as a share of its maximum: 1 if all options are equally likely.

    Args:
        chances: the probabilities of each item's options.
        facts: the fact of each item.
    """
    values = [-sum(p * math.log(p) for p in row if p > 0) / math.log(len(row)) for row in chances]
    return mean(values, facts, most=1.0)


def as_shares(places: Sequence[int]) -> list[list[float]]:
    """One-hot rows, cut after the one: each item's choice among its options, in the form of `position_shares`."""
    return [[float(k == place) for k in range(place + 1)] for place in places]


def position_shares(chosen: Sequence[Sequence[float]]) -> list[float]:
    """How often each position among the options is chosen, first position first.

    Args:
        chosen: one row for each item with a share for each option, which sum to 1: equal shares for tied options. Rows
            may differ in length; a position that an item does not have counts 0.
    """
    return [math.fsum(column) / len(chosen) for column in zip_longest(*chosen, fillvalue=0.0)]


def position_bias(chosen: Sequence[Sequence[float]], answers: Sequence[int], facts: Sequence[str]) -> Estimate:
    """The total variation distance between chosen and right positions: 0 is no bias, 1 the largest possible.

    Half the sum over positions of ``|share chosen - share right|``, with the interval of `intervals.distance`.

    Args:
        chosen: as for `position_shares`.
        answers: the position of each item's right option.
        facts: the fact of each item.
    """
    count = len(answers)
    columns = [
        by_cluster([own - right for own, right in zip(position[:count], position[count:], strict=True)], facts) / 2
        for position in zip_longest(*chosen, *as_shares(answers), fillvalue=0.0)
    ]
    return distance(columns, by_cluster([1.0] * len(facts), facts), n=len(facts))


def favourite_place(chosen: Sequence[Sequence[float]], answers: Sequence[int], facts: Sequence[str]) -> Estimate:
    """The largest excess of a position: how much more often the favourite position is chosen than it is right.

    A difference of two shares of the same items, 0 if every position is chosen as often as it is right. The interval is
    widened for the choice among the positions (Bonferroni). Needs at least one item.

    Args:
        chosen: as for `position_shares`.
        answers: the position of each item's right option.
        facts: the fact of each item.
    """
    shares = np.array(list(zip_longest(*chosen, *as_shares(answers), fillvalue=0.0)))
    own, right = np.split(shares, 2, axis=1)
    # The position was picked after looking, which the interval below allows for.
    favourite = int((own - right).sum(axis=1).argmax())
    return difference(own[favourite], right[favourite], facts, confidence=1 - (1 - CONFIDENCE) / len(shares))
