"""The forget and the preserve gradient of a step, over micro-batches and processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from duolearn_cli.methods.base import Method
from duolearn_cli.model.distributed import Processes
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.training.coordinates import Coordinates
from duolearn_cli.training.fisher import SquaredGradients
from duolearn_cli.training.forward import SIDES, Example, Forward, labels_of, named_losses, predict

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Gradients:
    """All that a step needs from the model.

    Attributes:
        forget, preserve: the gradients of both losses over the coordinates that may change [n].
        squares: None unless requested. The mean over the m retain items of (m times the item's part of the preserve
            gradient)^2 [n]. If the loss is a mean over N tokens, and g is the gradient of the mean over an item's own n
            tokens, that item contributes (m n / N)^2 g^2: the squared gradient of its whole answer's nll, over the
            squared mean length (docs/geometry.md, "Which squares").
        losses: both losses of the step, and the mean nll of each token class (nats); NaN for a class without tokens.
    """

    forget: Tensor
    preserve: Tensor
    squares: Tensor | None = None
    losses: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batching:
    """How the texts of a step share forwards.

    Attributes:
        micro_batch: the maximum number of items in one forward; None: all items of the step.
        pack_to: the length in tokens of rows that several texts share; None: one text per row.
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
    """Compute both gradients with one forward of each text.

    Args:
        batching: how texts share forwards. It changes results by rounding only.
        squares: also compute the mean of squared per-example preserve gradients.
    """
    # All means are over the whole step, with weights that are known before any forward. So the gradients of
    # micro-batches and processes add up to the same, whatever the cut (docs/geometry.md, "Several processes").
    step = labels_of(examples, method.labels)
    recorder = SquaredGradients(model.network, coordinates.parameters) if squares else None
    total = {side: torch.zeros_like(coordinates.values.data) for side in SIDES}
    figures: list[Tensor] = []
    attention, together = method.attention, processes.sharded
    for part in cut(examples, batching.micro_batch, processes):
        with recorder.recording() if recorder else nullcontext():
            forward = predict(model, part or examples[:1], method.labels, attention, batching.pack_to, step, together)
        objective = method.objective(forward.tokens)
        # A process without items still runs a forward, of weight zero: sharded layers make the others wait for it.
        share = 1.0 if part else 0.0
        for side, loss in zip(SIDES, (objective.forget, objective.preserve), strict=True):
            # Without shards no other process waits for a backward of weight zero, so it is left out.
            if part or together:
                _backward(forward, share * loss, recorder if side == "preserve" else None, retain=side == "forget")
            total[side] += coordinates.gradient()
        figures.append(share * forward.figures(objective))
        # The forget backward retains its graph. Drop it here, or it would use memory while the next one is built.
        forward = objective = loss = None
    reduced = {side: processes.sum_gradients(vector) for side, vector in total.items()}
    mean_squares = None
    if recorder:
        # The recorder sums the squares of the items' parts p_i of the preserve gradient. The mean over the m items of
        # (m p_i)^2 is m times that sum.
        count = sum(not example.is_forget for example in examples)
        mean_squares = count * processes.sum_gradients(coordinates.take(recorder.take()))
    losses = named_losses(processes.sum_items(torch.stack(figures).sum(0)), step)
    return Gradients(reduced["forget"], reduced["preserve"], mean_squares, losses)


def _backward(forward: Forward, loss: Tensor, recorder: SquaredGradients | None, *, retain: bool) -> None:
    """Run the backward of a loss through each group of texts. `recorder` receives the squares of retain items.

    With `retain` the graphs stay: the preserve loss may reach the groups that the forget loss has reached before.
    """
    for group, pulled in zip(forward.groups, forward.reached(loss), strict=True):
        if pulled is None:
            continue
        own = [i for i, example in enumerate(group.examples) if not example.is_forget]
        with recorder.receiving(group.batch, own) if recorder else nullcontext():
            torch.autograd.backward(*pulled, retain_graph=retain)


def cut(examples: Sequence[T], micro_batch: int | None, processes: Processes) -> list[Sequence[T]]:
    """Return the examples of each forward of this process. All processes get equally many parts; some may be empty."""
    size = max(1, micro_batch or len(examples)) * processes.count
    parts = max(1, -(-len(examples) // size)) * processes.count
    # A caller lists forget items before retain items. With strides every part gets items of both sides.
    return [examples[part::parts] for part in range(processes.rank, parts, processes.count)]
