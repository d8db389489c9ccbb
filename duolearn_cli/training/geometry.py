"""Geometric constraints on update steps: pure functions over flat vectors (docs/geometry.md, our definition).

A *step* is a displacement of the parameters, a *gradient* the derivative of a loss, so that to first order a step
changes the loss by their plain inner product, its *slope*. A *metric* says which of the allowed steps is nearest: the
weights m > 0 of ``|d|^2 = sum m d^2``, None for the Euclidean one. In terms of the metric's own gradient g / m that
slope is the inner product <d, g / m>_m, so the constraint is the same in every metric; only the projection differs.

Vectors may be sharded over several processes. `reduce` then sums small tensors over them; nothing else is exchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

Reduce = Callable[[Tensor], Tensor]
# A slope of at most this many units of precision, relative to |step| |gradient|, counts as rounding.
ROUNDING = 8


def whole(values: Tensor) -> Tensor:
    """Return `values`: the `reduce` of vectors that are not sharded."""
    return values


def inner(a: Tensor, b: Tensor, metric: Tensor | None = None) -> Tensor:
    """Return <a, b> in a diagonal metric. Shapes: all [n] -> scalar."""
    return torch.dot(a, b) if metric is None else torch.dot(a * metric, b)


def ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Divide element by element; the result is zero where the denominator is not positive."""
    return torch.where(denominator > 0, numerator / denominator, torch.zeros_like(numerator))


def block_sums(values: Tensor, blocks: Sequence[int]) -> Tensor:
    """Sum a vector over blocks of consecutive coordinates. Shapes: [n] -> [len(blocks)]; an empty block gives 0."""
    return torch.stack([part.sum() for part in values.split(list(blocks))])


def shorten(step: Tensor, price: Tensor, metric: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Solve ``min_d |d - step|_m^2 + sum price d^2``. Return d and the metric ``m + price``. Shapes: all [n].

    To add constraints to this problem, project the returned d in the returned metric: completing the square shows that
    both problems have the same minimum.
    """
    metric = torch.ones_like(price) if metric is None else metric
    return step * (metric / (metric + price)), metric + price


def constrain(
    step: Tensor,
    gradients: Tensor,
    *,
    metric: Tensor | None = None,
    two_sided: bool = False,
    blocks: Sequence[int] | None = None,
    reduce: Reduce = whole,
) -> tuple[Tensor, Tensor]:
    """Return the step nearest to `step` along which no loss rises to first order, and the slopes of `step` itself.

    Solves ``min_d |d - step|_m^2`` subject to ``<d, g> <= 0`` for every row g of `gradients` (two-sided: ``= 0``), in
    each block separately. The solution is ``step - sum_i lambda_i g_i / m``; `multipliers` computes lambda from a small
    dual problem. A step without conflict is returned unchanged. A zero gradient constrains nothing. Gradients may be
    linearly dependent.

    With one gradient the solution has a closed form, and the host does not wait for the device. With several, k x k
    numbers per block go through the host.

    Shapes: step, metric [n]; gradients [k, n]; blocks sum to n -> [n] and [blocks, k].
    """
    sizes = list(blocks) if blocks is not None else [step.numel()]
    # g / m is the gradient in the metric: the direction in which a step changes least for the slope that it removes.
    lifted = gradients if metric is None else gradients / metric
    parts = list(zip(step.split(sizes), gradients.split(sizes, 1), lifted.split(sizes, 1), strict=True))
    products = reduce(torch.stack([torch.cat([g @ up.T, (g @ d)[:, None]], 1) for d, g, up in parts]))
    grams, slopes = products[..., :-1], products[..., -1]
    # One constraint: lambda = max(0, <d, g>) / <g, g / m> (two-sided without the max).
    if len(gradients) == 1:
        conflict = slopes if two_sided else slopes.clamp(min=0)
        # A gradient of zero gets the weight 0 from `ratio`, so it constrains nothing.
        weights = ratio(conflict, grams[..., 0])
    else:
        weights = multipliers(grams, slopes, two_sided)
    moved = [d - weight @ up for (d, _, up), weight in zip(parts, weights, strict=True)]
    if len(gradients) > 1:
        moved = _polish(moved, parts, grams, two_sided, reduce)
    return torch.cat(moved), slopes


def multipliers(grams: Tensor, slopes: Tensor, two_sided: bool = False) -> Tensor:
    """Solve each block's dual problem: minimise ``l' K l / 2 - l' s`` over l >= 0 (two-sided: over all l).

    K holds the inner products of the gradients in the inverse metric, s their slopes. K may be singular: gradients are
    first scaled to length one, and eigenvectors of K whose eigenvalue is rounding are left out. A block with numbers
    that are not finite gives NaN. Shapes: grams [blocks, k, k], slopes [blocks, k] -> [blocks, k].
    """
    matrices, vectors = grams.double().cpu().numpy(), slopes.double().cpu().numpy()
    precision = torch.finfo(grams.dtype).eps
    solved = [_dual(k, s, two_sided, precision) for k, s in zip(matrices, vectors, strict=True)]
    return torch.as_tensor(np.stack(solved), dtype=slopes.dtype, device=slopes.device)


def _dual(matrix: np.ndarray, slope: np.ndarray, two_sided: bool, precision: float) -> np.ndarray:
    if not (np.isfinite(matrix).all() and np.isfinite(slope).all()):
        # No error here: the loop finds the NaN in the norm of the step, and its message names the setting to change.
        return np.full_like(slope, np.nan)
    lengths = np.sqrt(np.diag(matrix).clip(min=0))
    scale = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    values, vectors = np.linalg.eigh(matrix * scale[:, None] * scale)
    # Smaller eigenvalues are rounding of `precision`: dividing by them would blow it up.
    valid = values > max(values[-1], 0) * len(values) * precision
    if not valid.any():
        return np.zeros_like(slope)
    root = np.sqrt(values[valid])
    # With K = A'A and s = A'b the dual is the least-squares problem |A l - b|.
    a, b = root[:, None] * vectors[:, valid].T, (vectors[:, valid].T @ (slope * scale)) / root
    solution = np.linalg.lstsq(a, b, rcond=None)[0] if two_sided else nnls(a, b, maxiter=100 * len(scale))[0]
    return solution * scale


def _polish(
    moved: list[Tensor],
    parts: Sequence[tuple[Tensor, Tensor, Tensor]],
    grams: Tensor,
    two_sided: bool,
    reduce: Reduce,
) -> list[Tensor]:
    """Remove what rounding left of the steepest slope, block by block, up to k times.

    Nearly parallel gradients lose digits in the dual problem, so a slope may stay positive by more than rounding.
    """
    squared = reduce(torch.stack([torch.cat([d.square().sum()[None], g.square().sum(1)]) for d, g, _ in parts]))
    allowed = ROUNDING * torch.finfo(squared.dtype).eps * (squared[:, :1] * squared[:, 1:]).sqrt()
    for _ in range(grams.shape[-1]):
        slopes = reduce(torch.stack([g @ d for d, (_, g, _) in zip(moved, parts, strict=True)]))
        excess = (slopes.abs() if two_sided else slopes) - allowed
        if not (excess > 0).any():
            break
        worst = excess.argmax(1, keepdim=True)
        length = grams.diagonal(dim1=1, dim2=2).gather(1, worst)
        weight = torch.where(excess.gather(1, worst) > 0, ratio(slopes.gather(1, worst), length), 0)
        moved = [d - w * up[i] for d, (_, _, up), w, i in zip(moved, parts, weight[:, 0], worst[:, 0], strict=True)]
    return moved
