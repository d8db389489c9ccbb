"""What a step tells: losses, how forgetting met keeping, and what the constraint took, as a whole and by layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from duolearn_cli.evaluation.metrics.conflict import BY_LAYER, FIGURES
from duolearn_cli.training.geometry import block_sums, ratio
from duolearn_cli.training.gradients import Gradients
from duolearn_cli.training.update import Move, Update


@torch.no_grad()
def measure(found: Gradients, move: Move, update: Update) -> dict[str, Any]:
    """One line of history.

    `cosine` is that of both gradients; `opposed` the share of the forget gradient that points against keeping, which
    projecting it alone would remove; `conflict` the share of preserve losses, this batch's and those of the basis, that
    the update would have raised; `removed` the share of its norm that was taken. Keys that end in ``_by_layer`` hold a
    list, in the order of the layers; there `conflict` is about this batch's loss.
    """
    blocks = list(update.layers.values())
    removed = move.wanted - move.allowed
    pairs = [
        (found.forget, found.preserve),
        (found.forget, found.forget),
        (found.preserve, found.preserve),
        (move.wanted, found.preserve),
        (removed, removed),
        (move.wanted, move.wanted),
        (move.step, move.step),
    ]
    layers = update.processes.sum_parts(torch.stack([block_sums(a * b, blocks) for a, b in pairs]))
    figures = _figures(torch.cat([layers.sum(1, keepdim=True), layers], 1))
    first = {**found.losses, "conflict": (move.slopes > 0).float().mean()}
    # One transfer for all: each would make the host wait for the device.
    values = torch.cat([torch.stack(list(first.values())), figures.flatten()]).tolist()
    line: dict[str, Any] = dict(zip(first, values, strict=False))
    for i, name in enumerate(FIGURES):
        whole, *by_layer = values[len(first) + i * figures.shape[1] :][: figures.shape[1]]
        line.setdefault(name, whole)
        line[f"{name}{BY_LAYER}"] = by_layer
    return line


def _figures(sums: Tensor) -> Tensor:
    """FIGURES from the seven sums above, for the whole and each layer. Shapes: [7, m] -> [5, m]."""
    dot, forget, preserve, slope, removed, wanted, step = sums.unbind(0)
    cosine = ratio(dot, (forget * preserve).sqrt())
    return torch.stack(
        [(slope > 0).to(sums.dtype), cosine, (-cosine).clamp(min=0), ratio(removed, wanted).sqrt(), step.sqrt()]
    )
