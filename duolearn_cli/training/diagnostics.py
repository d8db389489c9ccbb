"""Diagnostics of a step: losses, conflict between forgetting and keeping, and how much the constraint removed.

Each value is given for the whole step and by layer.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from duolearn_cli.evaluation.metrics.conflict import BY_LAYER, FIGURES
from duolearn_cli.training.geometry import block_sums, ratio
from duolearn_cli.training.gradients import Gradients
from duolearn_cli.training.update import Move, Update


@torch.no_grad()
def measure(gradients: Gradients, move: Move, update: Update) -> dict[str, Any]:
    """Return one line of the history.

    - ``cosine``: between the forget and the preserve gradient.
    - ``opposed``: max(0, -cosine), the share of the forget gradient that points against the preserve gradient.
      Projecting the forget gradient alone would remove it.
    - ``conflict``: the share of preserve losses (this batch's and the basis') that the update would have raised.
    - ``removed``: the norm that the constraint removed, over the norm of the update before it.
    - ``step_norm``: the norm of the executed step.

    Keys that end in ``_by_layer`` hold a list in the order of the layers; there ``conflict`` looks at this batch alone.
    """
    blocks = list(update.layers.values())
    removed = move.wanted - move.allowed
    # `_figures` unpacks these products in this order.
    pairs = [
        (gradients.forget, gradients.preserve),
        (gradients.forget, gradients.forget),
        (gradients.preserve, gradients.preserve),
        (move.wanted, gradients.preserve),
        (removed, removed),
        (move.wanted, move.wanted),
        (move.step, move.step),
    ]
    # Sharded processes exchange these few sums alone, and no vector over the adapter.
    layers = update.processes.sum_parts(torch.stack([block_sums(a * b, blocks) for a, b in pairs]))
    figures = _figures(torch.cat([layers.sum(1, keepdim=True), layers], 1))
    first = {**gradients.losses, "conflict": (move.slopes > 0).float().mean()}
    # All values go to the host in one transfer: each transfer makes the host wait for the device.
    values = torch.cat([torch.stack(list(first.values())), figures.flatten()]).tolist()
    line: dict[str, Any] = dict(zip(first, values, strict=False))
    for i, name in enumerate(FIGURES):
        whole, *by_layer = values[len(first) + i * figures.shape[1] :][: figures.shape[1]]
        # `conflict` is there already. For the whole step it counts the basis too, but the figure here only this batch.
        line.setdefault(name, whole)
        line[f"{name}{BY_LAYER}"] = by_layer
    return line


def _figures(sums: Tensor) -> Tensor:
    """Compute FIGURES from the seven sums of `measure`. Shapes: [7, m] -> [5, m]; m counts the whole and each layer."""
    dot, forget, preserve, slope, removed, wanted, step = sums.unbind(0)
    cosine = ratio(dot, (forget * preserve).sqrt())
    return torch.stack(
        [(slope > 0).to(sums.dtype), cosine, (-cosine).clamp(min=0), ratio(removed, wanted).sqrt(), step.sqrt()]
    )
