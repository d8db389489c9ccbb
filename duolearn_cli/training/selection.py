"""Choosing the coordinates that may change, at the target model, before the first step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from duolearn_cli.data.order import sample
from duolearn_cli.errors import RunError
from duolearn_cli.methods.base import sparsity_of
from duolearn_cli.model.distributed import Processes
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.training import sparsity
from duolearn_cli.training.coordinates import Coordinates
from duolearn_cli.training.gradients import Batching, gradients
from duolearn_cli.training.task import UnlearningTask

# A forget item whose gradient is no longer than this has nothing to forget: what is left is rounding.
FAINT = 1e-4


def choose(
    model: LanguageModel,
    task: UnlearningTask,
    processes: Processes,
    advance: Callable[[int], None] = lambda n: None,
) -> Tensor:
    """Indices of the adapter coordinates that the method may change, by what single items ask for at the target.

    Forgetting is asked for by the weighted mean of forget items' gradients, each of norm one: an item that the target
    is sure of has hardly a gradient there, and needs forgetting most. The seed of `task` draws the
    items; `advance` receives how many are done.
    """
    method, settings = task.method, task.settings
    sparse = sparsity_of(method)
    everything = Coordinates(model.named_adapter, experts=model.experts)
    asked, cost = (torch.zeros_like(everything.values.data) for _ in range(2))
    for one in sample(task.forget, sparse.examples, task.seed):
        with model.recomputed(settings.checkpointing):
            own = gradients(model, [one], method, everything, processes).forget
        norm = processes.sum_parts(own.square().sum()).sqrt()
        if norm > FAINT:
            asked += one.weight * own / norm
        advance(1)
    batching = Batching(settings.micro_batch)
    spared = sample(task.retain, sparse.examples, task.seed)
    for start in range(0, len(spared), settings.batch_size):
        batch = spared[start : start + settings.batch_size]
        with model.recomputed(settings.checkpointing):
            found = gradients(model, batch, method, everything, processes, batching, squares=True)
        assert found.squares is not None
        cost += len(batch) * found.squares
        advance(len(batch))
    units = None if sparse.unit == "coordinate" else everything.units(sparse.unit)
    budget = int(sparse.fraction * model.num_base_parameters)
    index = sparsity.choose(asked.square(), cost, units, budget, processes, sparse.damping)
    if not processes.sum_parts(torch.tensor(float(len(index)), device=index.device)):
        raise RunError(
            f"method.sparsity.fraction={sparse.fraction} chose nothing: no {sparse.unit} fits, or the forget loss "
            "has no gradient. Give a larger fraction or a finer method.sparsity.unit."
        )
    return index
