"""From the items of a step to the gradients of both losses, over micro-batches and processes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import TypeVar

import torch
from torch import Tensor

from duolearn_cli.attention import retention
from duolearn_cli.concepts.token_classes import NEUTRAL, PRESERVE, UNLEARN
from duolearn_cli.coordinates import Coordinates
from duolearn_cli.data.encoding import Batch, Encoded, collate
from duolearn_cli.fisher import SquaredGradients
from duolearn_cli.methods.base import NO_ATTENTION, Attention, Labels, Method, Objective, Tokens, attention_of
from duolearn_cli.model import LanguageModel
from duolearn_cli.parallel import Processes
from duolearn_cli.readout import Readout
from duolearn_cli.references import Reference, attend

T = TypeVar("T")
# A token whose nll the target had lowered by more than this (nats) against the base counts as memorised in reports.
MEMORISED = -1.0
SIDES = ("forget", "preserve")
# Along which dimension the outputs of groups are put side by side: hidden states by token, attention by P token.
SIDE_BY_SIDE = (0, 1)
TOKEN_CLASSES = ("target", "memorised", "general_medical", "neutral")


@dataclass(frozen=True, eq=False)
class Example:
    """One training text with what the loop needs of it.

    Lists and tensors hold one entry a labelled token; `token_kind` is the class of every token.
    """

    text: Encoded
    is_forget: bool
    weight: float
    kind: Sequence[int]
    level_weight: Sequence[float]
    reference: Reference
    token_kind: Sequence[int] = ()


@dataclass(frozen=True, eq=False)
class Gradients:
    """What a step needs of the model.

    Attributes:
        forget, preserve: gradients of both losses over the coordinates that may change [n].
        squares: by side, where asked for, the mean over its items of their squared gradients [n].
        losses: the step's values of both objectives, and by token class the mean nll; NaN for a class without tokens.
    """

    forget: Tensor
    preserve: Tensor
    squares: Mapping[str, Tensor] = field(default_factory=dict)
    losses: Mapping[str, Tensor] = field(default_factory=dict)


def gradients(
    model: LanguageModel,
    examples: Sequence[Example],
    method: Method,
    coordinates: Coordinates,
    processes: Processes,
    micro_batch: int | None = None,
    pack_to: int | None = None,
    squares: Collection[str] = (),
) -> Gradients:
    """Both gradients through one forward, or one a micro-batch; the cut changes results by rounding only.

    Args:
        squares: of which sides, ``forget`` or ``preserve``, the squares of single gradients are wanted.
    """
    step = labels_of(examples, method.labels, model.device)
    watch = SquaredGradients(model.network, coordinates.parameters) if squares else None
    total = {side: torch.zeros_like(coordinates.values.data) for side in SIDES}
    figures: list[Tensor] = []
    asked, together = attention_of(method), processes.sharded
    for part in cut(examples, micro_batch, processes):
        with watch.watching() if watch else nullcontext():
            forward = predict(model, part or examples[:1], method.labels, asked, pack_to, step, together=together)
        objective = method.objective(forward.tokens)
        # A process without items of its own goes through a forward all the same: the others may wait for it.
        share = 1.0 if part else 0.0
        for side, loss in zip(SIDES, (objective.forget, objective.preserve), strict=True):
            for group, pulled in zip(forward.groups, forward.reached(share * loss), strict=True):
                if pulled is None:
                    continue
                own = [i for i, example in enumerate(group.examples) if example.is_forget == (side == "forget")]
                with watch.collecting(side, group.batch, own) if watch and side in squares else nullcontext():
                    torch.autograd.backward(group.outputs, pulled, retain_graph=side == "forget")
            total[side] += coordinates.gradient()
        figures.append(share * forward.figures(objective))
    reduced = {side: processes.sum_gradients(vector) for side, vector in total.items()}
    means: dict[str, Tensor] = {}
    for side in squares:
        assert watch is not None
        # An item's part of a mean over m items is its own gradient over m: m times the sum of squares is their mean.
        count = sum(example.is_forget == (side == "forget") for example in examples)
        means[side] = count * processes.sum_gradients(coordinates.take(watch.take(side)))
    losses = named_losses(processes.sum_items(torch.stack(figures).sum(0)), step)
    return Gradients(reduced["forget"], reduced["preserve"], means, losses)


def cut(examples: Sequence[T], micro_batch: int | None, processes: Processes) -> list[Sequence[T]]:
    """This process's forwards. Every process gets as many, the last ones possibly empty."""
    size = max(1, micro_batch or len(examples)) * processes.count
    parts = max(1, -(-len(examples) // size)) * processes.count
    return [examples[part::parts] for part in range(processes.rank, parts, processes.count)]


def labels_of(examples: Sequence[Example], labels: str, device: torch.device) -> Labels:
    """What is known of the labelled tokens of `examples` without a forward."""
    places = [example.text.labels(labels) for example in examples]
    rows = list(zip(examples, places, strict=True))
    counts = torch.tensor([len(place) for place in places])

    def by_token(values: Sequence[object], dtype: torch.dtype) -> Tensor:
        return torch.tensor(values, dtype=dtype).to(device)

    def by_item(values: Sequence[object], dtype: torch.dtype) -> Tensor:
        return torch.tensor(values, dtype=dtype).repeat_interleave(counts).to(device)

    return Labels(
        labels=by_token([example.text.ids[i] for example, place in rows for i in place], torch.long),
        base_nll=torch.cat([example.reference.base_nll for example in examples]).to(device),
        target_nll=torch.cat([example.reference.target_nll for example in examples]).to(device),
        kind=by_token([kind for example in examples for kind in example.kind], torch.long),
        level_weight=by_token([weight for example in examples for weight in example.level_weight], torch.float32),
        item_weight=by_item([example.weight for example in examples], torch.float32),
        is_forget=by_item([example.is_forget for example in examples], torch.bool),
        is_answer=by_token([example.text.is_answer[i] for example, place in rows for i in place], torch.bool),
        sequence=by_item(list(range(len(examples))), torch.long),
        num_sequences=len(examples),
        preserved=torch.tensor(
            [i for i, example in enumerate(examples) for kind in example.token_kind if kind == PRESERVE],
            dtype=torch.long,
        ).to(device),
    )


@dataclass(frozen=True, eq=False)
class Group:
    """Examples of one kind that went through the model together.

    Attributes:
        outputs: hidden states at the labels [n, width] and, where attention is kept, what it writes [layers, p, width].
    """

    examples: Sequence[Example]
    batch: Batch
    outputs: list[Tensor]


@dataclass(frozen=True, eq=False)
class Forward:
    """What went through the model, by group, and the tokens that losses are made of.

    The losses' graph ends at `leaves`, the groups' outputs side by side: how a loss goes on from there is for each
    group's own graph, so that none is entered for a loss that it has no part in.
    """

    groups: Sequence[Group]
    tokens: Tokens
    leaves: list[Tensor]
    together: bool

    def reached(self, loss: Tensor) -> list[list[Tensor] | None]:
        """The gradients of `loss` at each group's outputs; None for a group that has no part in it.

        Of a cut model, where each process must go as the others do, all groups have.
        """
        if not loss.requires_grad:
            return [None for _ in self.groups]
        found = torch.autograd.grad(loss, self.leaves, retain_graph=True, materialize_grads=True)
        by_output = [
            gradient.split([group.outputs[i].shape[dim] for group in self.groups], dim)
            for i, (gradient, dim) in enumerate(zip(found, SIDE_BY_SIDE, strict=False))
        ]
        by_group = [list(own) for own in zip(*by_output, strict=True)]
        if self.together:
            return [*by_group]
        # One transfer for all: each would make the host wait for the device.
        has_part = torch.stack([torch.stack([gradient.any() for gradient in own]).any() for own in by_group])
        return [own if mine else None for own, mine in zip(by_group, has_part.tolist(), strict=True)]

    def figures(self, objective: Objective) -> Tensor:
        """Both losses, then the sums of token classes, without gradients: see `named_losses`."""
        return torch.stack([objective.forget, objective.preserve, *class_sums(self.tokens)]).detach()


def predict(
    model: LanguageModel,
    examples: Sequence[Example],
    labels: str,
    attention: Attention = NO_ATTENTION,
    pack_to: int | None = None,
    step: Labels | None = None,
    private: bool = False,
    together: bool = False,
) -> Forward:
    """One pass over all examples, forget and retain items each in rows of their own unless they go `together`.

    They are a part of the step whose labels are `step`, or all of it; in a `private` step each is by itself.
    """
    sides = [list(run) for _, run in groupby(examples, lambda example: together or example.is_forget)]
    groups = [_forward(model, side, labels, attention, pack_to) for side in sides]
    by_output = zip(*(group.outputs for group in groups), strict=True)
    joined = [torch.cat(outputs, dim) for outputs, dim in zip(by_output, SIDE_BY_SIDE, strict=False)]
    leaves = [output.detach().requires_grad_(output.requires_grad) for output in joined]

    def stored(name: str, dim: int = 0) -> Tensor:
        return torch.cat([getattr(example.reference, name) for example in examples], dim).to(model.device)

    own = labels_of(examples, labels, model.device)
    references = {name: partial(stored, f"{name}_hidden") for name in ("base", "target")}
    kept = len(leaves) > 1
    tokens = Tokens(
        **vars(own),
        readout=Readout(model, leaves[0], own.labels, references),
        step=None if private else step or own,
        attention=leaves[1] if kept else None,
        target_attention=stored("target_attention", 1) if kept else None,
    )
    return Forward(groups, tokens, leaves, together)


def _forward(
    model: LanguageModel, examples: Sequence[Example], labels: str, attention: Attention, pack_to: int | None
) -> Group:
    batch = collate([example.text for example in examples], labels, pack_to=pack_to).to(model.device)
    hidden, kept = attend(model, batch, attention, [example.token_kind for example in examples])
    return Group(examples, batch, [hidden] if kept is None else [hidden, kept])


def classes(labels: Labels) -> dict[str, Tensor]:
    """Masks of the token classes that reports follow."""
    unlearned = labels.kind == UNLEARN
    memorised = unlearned & (labels.target_nll - labels.base_nll < MEMORISED)
    masks = (unlearned, memorised, labels.kind == PRESERVE, labels.kind == NEUTRAL)
    return dict(zip(TOKEN_CLASSES, masks, strict=True))


@torch.no_grad()
def class_sums(tokens: Tokens) -> list[Tensor]:
    """Of each token class the sum of its nll; where attention is kept, that of its distances from the target's."""
    values = tokens.nll
    found = [values[mask].sum() for mask in classes(tokens).values()]
    if tokens.attention is None or tokens.target_attention is None:
        return found
    return [*found, retention(tokens.attention, tokens.target_attention).sum()]


def named_losses(figures: Tensor, step: Labels) -> dict[str, Tensor]:
    """Name the sums over a step, and turn those of token classes into means."""
    masks = classes(step)
    found = {"forget_loss": figures[0], "preserve_loss": figures[1]}
    found |= {name: figures[2 + i] / mask.sum() for i, (name, mask) in enumerate(masks.items())}
    kept = len(figures) > 2 + len(masks)
    return found | ({"attention": figures[-1] / max(1, len(step.preserved))} if kept else {})
