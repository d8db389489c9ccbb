"""Both gradients of a step, over micro-batches and processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from duolearn_cli.methods.base import Method, attention_of
from duolearn_cli.model.distributed import Processes
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.training.coordinates import Coordinates
from duolearn_cli.training.fisher import SquaredGradients
from duolearn_cli.training.forward import SIDES, Example, labels_of, named_losses, predict

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Gradients:
    """What a step needs of the model.

    Attributes:
        forget, preserve: gradients of both losses over the coordinates that may change [n].
        squares: where asked for, the mean over the m retain items of the squares of m times their parts of the preserve
            gradient [n]. Of a mean over N tokens an item with n of them, whose own mean has the gradient g, has
            (m n / N)^2 g^2: that of its whole answer's nll, over the mean length (docs/geometry.md, "Which squares").
        losses: the step's values of both objectives, and by token class the mean nll; NaN for a class without tokens.
    """

    forget: Tensor
    preserve: Tensor
    squares: Tensor | None = None
    losses: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batching:
    """How the texts of a step share forwards.

    Attributes:
        micro_batch: the most items in one forward; None: all of the step.
        pack_to: the number of tokens in a row that several texts share; None: one text a row.
    """

    micro_batch: int | None = None
    pack_to: int | None = None


WHOLE = Batching()


def gradients(
    model: LanguageModel,
    examples: Sequence[Example],
    method: Method,
    coordinates: Coordinates,
    processes: Processes,
    batching: Batching = WHOLE,
    squares: bool = False,
) -> Gradients:
    """Compute both gradients through one forward of each text.

    Args:
        batching: how texts share forwards. It changes results by rounding only.
        squares: whether to compute the squares of each retain item's gradient.
    """
    step = labels_of(examples, method.labels)
    watch = SquaredGradients(model.network, coordinates.parameters) if squares else None
    total = {side: torch.zeros_like(coordinates.values.data) for side in SIDES}
    figures: list[Tensor] = []
    asked, together = attention_of(method), processes.sharded
    for part in cut(examples, batching.micro_batch, processes):
        with watch.watching() if watch else nullcontext():
            forward = predict(model, part or examples[:1], method.labels, asked, batching.pack_to, step, together)
        objective = method.objective(forward.tokens)
        # A process without items of its own goes through a forward all the same: the others may wait for it.
        share = 1.0 if part else 0.0
        for side, loss in zip(SIDES, (objective.forget, objective.preserve), strict=True):
            for group, pulled in zip(forward.groups, forward.reached(share * loss), strict=True):
                if pulled is None or not (part or together):
                    continue
                own = [i for i, example in enumerate(group.examples) if not example.is_forget]
                with watch.following(group.batch, own) if watch and side == "preserve" else nullcontext():
                    torch.autograd.backward(*pulled, retain_graph=side == "forget")
            total[side] += coordinates.gradient()
        figures.append(share * forward.figures(objective))
        # Graphs that no preserve loss went through still stand: they must not while the next ones are made.
        forward = objective = loss = group = pulled = None
    reduced = {side: processes.sum_gradients(vector) for side, vector in total.items()}
    mean_squares = None
    if watch:
        # m times an item's part is its gradient: of a mean over m items its own, of one over N tokens that of its whole
        # answer over the mean length N / m. So m times the sum of squared parts is the mean of squares.
        count = sum(not example.is_forget for example in examples)
        mean_squares = count * processes.sum_gradients(coordinates.take(watch.take()))
    losses = named_losses(processes.sum_items(torch.stack(figures).sum(0)), step)
    return Gradients(reduced["forget"], reduced["preserve"], mean_squares, losses)


def cut(examples: Sequence[T], micro_batch: int | None, processes: Processes) -> list[Sequence[T]]:
    """This process's forwards. Every process gets as many, the last ones possibly empty."""
    size = max(1, micro_batch or len(examples)) * processes.count
    parts = max(1, -(-len(examples) // size)) * processes.count
    return [examples[part::parts] for part in range(processes.rank, parts, processes.count)]
