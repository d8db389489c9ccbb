"""Comparison of several methods: how far each is behind the best, which the same answers have picked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from duolearn_cli.evaluation.metrics.intervals import CONFIDENCE


@dataclass(frozen=True, eq=False, slots=True)
class Behind:
    """The lead of the best method over each other method, in ``value +- reach`` for all pairs at once.

    Attributes:
        best: the index of the best method.
        value: the lead over each method, 0 for the best one. Shape: [methods].
        reach: half the width of each lead's interval. Shape: [methods].
    """

    best: int
    value: np.ndarray
    reach: np.ndarray


def behind_best(values: np.ndarray, draws: np.ndarray, confidence: float = CONFIDENCE) -> Behind:
    """How far each method is behind the one with the highest value.

    The answers that pick the best method also judge it: among equal methods the luckiest leads. The intervals therefore
    hold for the differences of *all* pairs simultaneously, as in Tukey's range test, with the simulated distribution of
    the largest difference in place of a table. With the given confidence none of them misses the truth.

    Args:
        values: the value of each method. Shape: [methods].
        draws: what other seeds and facts would have given, simulated; errors that methods have in common must be drawn
            in common. Shape: [draws, methods].
        confidence: the simultaneous confidence level.
    """
    error = draws - values
    apart = np.abs(error[:, :, None] - error[:, None, :])
    # Dividing by each pair's own quantile puts all pairs on one scale. The factor is what the largest of them needs.
    own = np.quantile(apart, confidence, axis=0)
    ratio = np.divide(apart, own, out=np.zeros_like(apart), where=own > 0)
    factor = float(np.quantile(ratio.max((1, 2)), confidence))
    best = int(np.argmax(values))
    return Behind(best, values[best] - values, factor * own[best])
