"""Geometric constraints on update steps: pure functions over flat vectors (method.md section 5, our definition)."""

from __future__ import annotations

import torch
from torch import Tensor


def remove_conflict(step: Tensor, gradient: Tensor) -> Tensor:
    """Return the vector nearest to `step` along which the loss of `gradient` does not rise to first order.

    Solves ``min_d |d - step|^2  subject to  <d, gradient> <= 0``: the step itself where it does not conflict, else its
    projection on the hyperplane orthogonal to `gradient`. Shapes: both [n]. A zero gradient constrains nothing.
    No host synchronisation: the branch is taken on the device.
    """
    conflict = torch.dot(step, gradient).clamp(min=0)
    squared_norm = torch.dot(gradient, gradient)
    scale = torch.where(squared_norm > 0, conflict / squared_norm, torch.zeros_like(conflict))
    return step - scale * gradient


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of the angle between two flat vectors [n] -> scalar; zero if either is zero."""
    norms = a.norm() * b.norm()
    return torch.where(norms > 0, torch.dot(a, b) / norms, torch.zeros_like(norms))
