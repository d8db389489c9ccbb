"""How much of the square of forgetting and keeping a set of models dominates."""

from __future__ import annotations

import numpy as np


def hypervolume(points: np.ndarray) -> np.ndarray:
    """The area of the union of the rectangles from (0, 0) to each point; coordinates beyond 0 and 1 are cut.

    The measure of Zitzler and Thiele (1998) in two dimensions, with both to be maximised and (0, 0) as reference. A
    point that is not finite dominates nothing. Shapes: [..., n, 2] -> [...].
    """
    points = np.where(np.isfinite(points).all(-1, keepdims=True), points, 0.0).clip(0, 1)
    order = np.argsort(-points[..., 0], axis=-1, kind="stable")[..., None]
    points = np.take_along_axis(points, order, axis=-2)
    right, height = points[..., 0], np.maximum.accumulate(points[..., 1], axis=-1)
    # A strip from each point to the next one on its left is as high as the highest point at or beyond its right end.
    left = np.concatenate([right[..., 1:], np.zeros_like(right[..., :1])], axis=-1)
    return ((right - left) * height).sum(-1)
