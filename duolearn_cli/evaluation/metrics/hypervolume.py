"""The hypervolume: how much of the unit cube of several objectives a set of models dominates."""

from __future__ import annotations

import numpy as np


def hypervolume(points: np.ndarray) -> np.ndarray:
    """The volume of the union of the boxes from 0 to each point (Zitzler and Thiele 1998).

    All objectives are maximised, and the reference point is 0. Coordinates are cut to [0, 1]. A point that is not
    finite dominates nothing.

    Shapes: [..., points, objectives] -> [...].
    """
    points = np.where(np.isfinite(points).all(-1, keepdims=True), points, 0.0).clip(0, 1)
    count = points.shape[-2]
    if points.shape[-1] == 1:
        return points[..., 0].max(-1, initial=0.0)
    # Slice along the last objective, between consecutive points. A slice's area is the hypervolume, in the other
    # objectives, of the points that reach it: the first k + 1 in descending order.
    order = np.argsort(-points[..., -1], axis=-1, kind="stable")[..., None]
    points = np.take_along_axis(points, order, axis=-2)
    last = points[..., -1]
    depth = last - np.concatenate([last[..., 1:], np.zeros_like(last[..., :1])], axis=-1)
    slices = (depth[..., k] * hypervolume(points[..., : k + 1, :-1]) for k in range(count))
    return sum(slices, start=np.zeros(points.shape[:-2]))
