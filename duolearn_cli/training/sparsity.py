"""Which coordinates may change: those where forgetting gains most for what retaining loses (our definition).

Let g be the gradient of the forget loss and F the diagonal curvature of the retain loss, for which the mean squared
gradient stands. A step d gains g'd on the forget loss and costs d'Fd / 2 on the retain loss. The best step is g / F,
and a coordinate's share of its gain is g^2 / F. Units of several coordinates are ranked by the ratio of their sums.
"""

from __future__ import annotations

import torch
from torch import Tensor

from duolearn_cli.model.distributed import Processes


def choose(
    forget: Tensor, retain: Tensor, units: Tensor | None, budget: int, processes: Processes, damping: float
) -> Tensor:
    """Return the indices of at most `budget` coordinates with the highest forget / (retain + damping x mean(retain)).

    Args:
        forget: the squared forget gradient [n].
        retain: the squared retain gradients, up to a factor [n].
        units: the unit number of each coordinate [n]. Units are taken by their ratio of sums, the highest first; a unit
            that exceeds the rest of the budget is skipped. None: coordinates are taken one by one.
        budget: the maximum number of coordinates, over all processes.

    Returns: this process's indices in ascending order [m].
    """
    sizes = torch.tensor(float(len(retain)), dtype=torch.float64, device=retain.device)
    total, count = processes.sum_parts(torch.stack([retain.double().sum(), sizes]))
    # Scores are logarithms: ratios of squared gradients exceed the range of float32 on both ends.
    floor = (damping * total / count).clamp(min=1e-300)
    if units is None:
        score = forget.double().log() - (retain.double() + floor).log()
        return _coordinates(score, budget, processes).nonzero().squeeze(1)
    # A shard may hold no coordinate of the last units, so the largest number is that of all processes.
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
    """Return the mask of this process's scores among the `budget` largest of all processes [n].

    Scores equal to the first one beyond the budget are left out, so that ties cannot exceed it.
    """
    # Each of the overall best is among the best of its own process, so no whole vector is gathered. The one score
    # beyond the budget is the threshold.
    best = processes.gather(score.topk(min(budget + 1, len(score))).values)
    if len(best) <= budget:
        # The budget holds all of them. A coordinate without a forget gradient has the score log 0 and stays out.
        return score > -torch.inf
    return score > best.topk(budget + 1).values[-1]
