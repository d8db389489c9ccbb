"""Several methods side by side: how far each is behind the best one, which was picked by the same answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from duolearn_cli.evaluation.metrics.intervals import CONFIDENCE


@dataclass(frozen=True, eq=False, slots=True)
class Behind:
    """The place of the best method, by how much it leads each other one, and how far that may be off.

    Attributes:
        value, reach: the lead over each method lies in ``value +- reach``, for all pairs at once. Shape: [methods].
    """

    best: int
    value: np.ndarray
    reach: np.ndarray


def behind_best(values: np.ndarray, draws: np.ndarray, confidence: float = CONFIDENCE) -> Behind:
    """How far methods are behind the one with the highest of `values` [methods].

    Which method is best is told by the same answers that judge it: of equal methods the luckiest leads. The intervals
    therefore hold for the differences of *all* pairs together, whichever pair is looked at (as Tukey's range does, by
    the distribution of the largest difference instead of a table): with the given confidence none of them is wrong.

    Args:
        draws: the values again as other seeds and facts would have given them, with what methods have in common drawn
            in common. Shape: [draws, methods].
    """
    error = draws - values
    apart = np.abs(error[:, :, None] - error[:, None, :])
    # Each pair's own reach puts all pairs on one scale; the factor is what the largest of them needs.
    own = np.quantile(apart, confidence, axis=0)
    ratio = np.divide(apart, own, out=np.zeros_like(apart), where=own > 0)
    factor = float(np.quantile(ratio.max((1, 2)), confidence))
    best = int(np.argmax(values))
    return Behind(best, values[best] - values, factor * own[best])
