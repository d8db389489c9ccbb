"""Which coordinates may change: those where forgetting needs much and retaining little (method.md section 5, ours)."""

from __future__ import annotations

import torch
from torch import Tensor

from duolearn_cli.parallel import Processes


def choose(
    forget: Tensor, retain: Tensor, units: Tensor | None, budget: int, processes: Processes, damping: float
) -> Tensor:
    """Indices of at most `budget` coordinates, in order, with the highest F_forget / (F_retain + damping x its mean).

    `units` [n] numbers coordinates that are chosen together; those of the highest ratio of sums come first, and one
    that does not fit any more is passed over. None chooses coordinates one by one. Shapes: forget, retain [n] -> [m].
    """
    sums = processes.sum_parts(torch.stack([retain.double().sum(), torch.tensor(float(len(retain))).to(retain.device)]))
    floor = (damping * sums[0] / sums[1]).clamp(min=torch.finfo(torch.float32).tiny).to(retain.dtype)
    if units is None:
        return _coordinates(forget / (retain + floor), budget, processes).nonzero().squeeze(1)
    count = int(processes.gather(units.max()[None].float()).max()) + 1

    def by_unit(values: Tensor) -> Tensor:
        return processes.sum_parts(
            torch.zeros(count, dtype=torch.float64, device=values.device).index_add_(0, units, values.double())
        )

    size = by_unit(torch.ones_like(forget))
    ratio = by_unit(forget) / (by_unit(retain) + floor * size)
    chosen, left = torch.zeros(count, dtype=torch.bool), budget
    for unit in ratio.argsort(descending=True, stable=True).tolist():
        if size[unit] <= left:
            chosen[unit] = True
            left -= int(size[unit])
    return chosen.to(units.device)[units].nonzero().squeeze(1)


def _coordinates(ratio: Tensor, budget: int, processes: Processes) -> Tensor:
    """Mask of the coordinates above the (budget + 1)-th largest ratio of all processes: never more than the budget."""
    best = processes.gather(ratio.topk(min(budget + 1, len(ratio))).values)
    if len(best) <= budget:
        return torch.ones_like(ratio, dtype=torch.bool)
    return ratio > best.topk(budget + 1).values[-1]
