"""Which coordinates may change: those where forgetting asks for much and retaining loses little (ours).

Within a budget a step d gains g'd on the forget loss, g its gradient, for d'Fd / 2 on the retain loss, F its diagonal
curvature, for which its mean squared gradient stands. The best step is g / F, and each coordinate's part of what it
gains g^2 / F. Coordinates that are chosen together go by the ratio of their sums.
"""

from __future__ import annotations

import torch
from torch import Tensor

from duolearn_cli.model.distributed import Processes


def choose(
    forget: Tensor, retain: Tensor, units: Tensor | None, budget: int, processes: Processes, damping: float
) -> Tensor:
    """Indices of at most `budget` coordinates, in order, with the highest forget / (retain + damping x its mean).

    `units` [n] numbers coordinates that are chosen together; those of the highest ratio of sums come first, and one
    that does not fit any more is passed over. None chooses coordinates one by one. Both are squares of
    gradients. Shapes: forget, retain [n] -> [m].
    """
    sizes = torch.tensor(float(len(retain)), dtype=torch.float64, device=retain.device)
    total, count = processes.sum_parts(torch.stack([retain.double().sum(), sizes]))
    # Logarithms: quotients of squared gradients leave the range of float32 on either side.
    floor = (damping * total / count).clamp(min=1e-300)
    if units is None:
        score = forget.double().log() - (retain.double() + floor).log()
        return _coordinates(score, budget, processes).nonzero().squeeze(1)
    num_units = int(processes.gather(units.max()[None].double()).max()) + 1

    def by_unit(values: Tensor) -> Tensor:
        sums = torch.zeros(num_units, dtype=torch.float64, device=values.device)
        return processes.sum_parts(sums.index_add_(0, units, values.double()))

    size = by_unit(torch.ones_like(forget))
    score = by_unit(forget).log() - (by_unit(retain) + floor * size).log()
    chosen, left = torch.zeros(num_units, dtype=torch.bool), budget
    for unit in score.argsort(descending=True, stable=True).tolist():
        if size[unit] <= left:
            chosen[unit] = True
            left -= int(size[unit])
    return chosen.to(units.device)[units].nonzero().squeeze(1)


def _coordinates(score: Tensor, budget: int, processes: Processes) -> Tensor:
    """Mask of the `budget` largest scores of all processes; of those that tie at the last place none."""
    best = processes.gather(score.topk(min(budget + 1, len(score))).values)
    if len(best) <= budget:
        return score > -torch.inf
    return score > best.topk(budget + 1).values[-1]
