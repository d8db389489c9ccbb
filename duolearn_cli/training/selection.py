"""The choice of the coordinates that may change, made at the target model before the first step.

docs/geometry.md, "Sparsity", has the criterion; docs/history/lab-notes.md, "0.1 % of the parameters: which", has what
was tried.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from duolearn_cli.data.order import sample
from duolearn_cli.errors import RunError, present
from duolearn_cli.model.distributed import Processes
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.training import sparsity
from duolearn_cli.training.coordinates import Coordinates
from duolearn_cli.training.gradients import Batching, gradients
from duolearn_cli.training.task import UnlearningTask

# A forget item whose gradient has at most this norm has nothing to forget: what is left is rounding.
FAINT = 1e-4


def choose(
    model: LanguageModel,
    task: UnlearningTask,
    processes: Processes,
    advance: Callable[[int], None] = lambda n: None,
) -> Tensor:
    """Return the indices of the adapter coordinates that the method may change [m].

    Coordinates are chosen by the squared forget gradient over the Fisher of the retain items. The forget gradient is
    the weighted mean of the items' gradients, each scaled to norm one: an item that the target is sure of has hardly a
    gradient and needs forgetting most. The seed of `task` draws the items; `advance` receives the number of items done.

    Raises:
        RunError: no coordinate is chosen.
    """
    method, settings = task.method, task.settings
    sparse = method.sparsity
    everything = Coordinates(model.named_adapter, experts=model.experts)
    direction, cost = (torch.zeros_like(everything.values.data) for _ in range(2))
    # The square of the mean, not the mean of squares: the latter picks neurons that single items use, and then wrong
    # options become unlikely too, so that questions keep their ranking (docs/history/lab-notes.md).
    for example in sample(task.forget, sparse.examples, task.seed):
        with model.recomputed(settings.checkpointing):
            # One item at a time: each gradient is scaled to norm one before the mean (docs/geometry.md, "Sparsity").
            own = gradients(model, [example], method, everything, processes).forget
        norm = processes.sum_parts(own.square().sum()).sqrt()
        if norm > FAINT:
            direction += example.weight * own / norm
        advance(1)
    batching = Batching(settings.micro_batch)
    retained = sample(task.retain, sparse.examples, task.seed)
    for start in range(0, len(retained), settings.batch_size):
        batch = retained[start : start + settings.batch_size]
        with model.recomputed(settings.checkpointing):
            both = gradients(model, batch, method, everything, processes, batching, squares=True)
        # The squares are a mean over the batch, and the last batch may be smaller.
        cost += len(batch) * present(both.squares, "the squared gradients")
        advance(len(batch))
    units = None if sparse.unit == "coordinate" else everything.units(sparse.unit)
    # The share is of the whole model, not of the adapter: the paper states it so (docs/method.md).
    budget = int(sparse.fraction * model.num_base_parameters)
    index = sparsity.choose(direction.square(), cost, units, budget, processes, sparse.damping)
    if not processes.sum_parts(torch.tensor(float(len(index)), device=index.device)):
        raise RunError(
            f"method.sparsity.fraction={sparse.fraction} chose nothing: no {sparse.unit} fits, or the forget loss "
            "has no gradient. Give a larger fraction or a finer method.sparsity.unit."
        )
    return index
