"""Choosing the coordinates that may change, at the target model, before the first step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from duolearn_cli import sparsity
from duolearn_cli.coordinates import Coordinates
from duolearn_cli.data.streams import sample
from duolearn_cli.errors import RunError
from duolearn_cli.forward import SIDES, Example
from duolearn_cli.gradients import gradients
from duolearn_cli.methods.base import Method, sparsity_of
from duolearn_cli.model import LanguageModel
from duolearn_cli.parallel import Processes
from duolearn_cli.update_config import UnlearnConfig


def choose(
    model: LanguageModel,
    forget: Sequence[Example],
    retain: Sequence[Example],
    method: Method,
    settings: UnlearnConfig,
    seed: int,
    processes: Processes,
    advance: Callable[[int], None] = lambda n: None,
) -> Tensor:
    """Indices of the adapter coordinates that `method` may change, by squared gradients of single items at the target.

    Items are drawn by `seed`; `advance` is told how many are done.
    """
    sparse, size = sparsity_of(method), settings.batch_size
    everything = Coordinates(model.named_adapter)
    sides = [sample(side, sparse.examples, seed) for side in (forget, retain)]
    sums = {side: torch.zeros_like(everything.values.data) for side in SIDES}
    for start in range(0, max(map(len, sides)), size):
        batch = [example for side in sides for example in side[start : start + size]]
        with model.recomputed(settings.checkpointing):
            found = gradients(model, batch, method, everything, processes, settings.micro_batch, squares=SIDES)
        for (side, squares), items in zip(found.squares.items(), sides, strict=True):
            # Means over a batch, and the last batch of a side may be smaller, or empty.
            sums[side] += len(items[start : start + size]) * squares
        advance(len(batch))
    units = None if sparse.unit == "coordinate" else everything.units(sparse.unit)
    budget = int(sparse.fraction * model.num_base_parameters)
    index = sparsity.choose(sums["forget"], sums["preserve"], units, budget, processes, sparse.damping)
    if not processes.sum_parts(torch.tensor(float(len(index)), device=index.device)):
        raise RunError(
            f"method.sparsity.fraction={sparse.fraction} chose nothing: no {sparse.unit} fits, or the forget loss "
            "has no gradient. Give a larger fraction or a finer method.sparsity.unit."
        )
    return index
