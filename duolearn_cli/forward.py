"""From the items of a step to the gradients of both losses, over micro-batches and processes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from duolearn_cli.attention import retention
from duolearn_cli.concepts.token_classes import NEUTRAL, PRESERVE, UNLEARN
from duolearn_cli.coordinates import Coordinates
from duolearn_cli.data.encoding import Batch, Encoded, collate
from duolearn_cli.fisher import SquaredGradients
from duolearn_cli.losses import nll
from duolearn_cli.methods.base import NO_ATTENTION, Attention, Labels, Method, Tokens, attention_of
from duolearn_cli.model import LanguageModel
from duolearn_cli.parallel import Processes
from duolearn_cli.references import Reference, attend

T = TypeVar("T")
# A token whose nll the target had lowered by more than this (nats) against the base counts as memorised in reports.
MEMORISED = -1.0
SIDES = ("forget", "preserve")
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
    for part in cut(examples, micro_batch, processes):
        with watch.watching() if watch else nullcontext():
            tokens, batch = predict(model, part or examples[:1], method.labels, attention_of(method), pack_to, step)
        objective = method.objective(tokens)
        # A process without items of its own goes through a forward all the same: the others may wait for it.
        share = 1.0 if part else 0.0
        for side, loss in zip(SIDES, (objective.forget, objective.preserve), strict=True):
            own = [i for i, example in enumerate(part) if example.is_forget == (side == "forget")]
            with watch.collecting(side, batch, own) if watch and side in squares else nullcontext():
                (share * loss).backward(retain_graph=side == "forget")
            total[side] += coordinates.gradient()
        figures.append(share * torch.stack([objective.forget, objective.preserve, *class_sums(tokens)]).detach())
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


def predict(
    model: LanguageModel,
    examples: Sequence[Example],
    labels: str,
    attention: Attention = NO_ATTENTION,
    pack_to: int | None = None,
    step: Labels | None = None,
    private: bool = False,
) -> tuple[Tokens, Batch]:
    """One forward over all examples; predictions at their labelled tokens only, beside the cached references.

    They are a part of the step whose labels are `step`, or all of it; in a `private` step each is by itself.
    """
    batch = collate([example.text for example in examples], labels, pack_to=pack_to).to(model.device)
    hidden, outputs = attend(model, batch, attention, [example.token_kind for example in examples])

    def stored(name: str, dim: int = 0) -> Tensor:
        return torch.cat([getattr(example.reference, name) for example in examples], dim).to(model.device)

    def logits(name: str) -> Callable[[Tensor], Tensor]:
        return lambda mask: model.head(stored(name)[mask])

    own = labels_of(examples, labels, model.device)
    tokens = Tokens(
        **vars(own),
        logits=model.head(hidden),
        base_logits=logits("base_hidden"),
        target_logits=logits("target_hidden"),
        step=None if private else step or own,
        attention=outputs,
        target_attention=None if outputs is None else stored("target_attention", 1),
    )
    return tokens, batch


def classes(labels: Labels) -> dict[str, Tensor]:
    """Masks of the token classes that reports follow."""
    unlearned = labels.kind == UNLEARN
    memorised = unlearned & (labels.target_nll - labels.base_nll < MEMORISED)
    masks = (unlearned, memorised, labels.kind == PRESERVE, labels.kind == NEUTRAL)
    return dict(zip(TOKEN_CLASSES, masks, strict=True))


@torch.no_grad()
def class_sums(tokens: Tokens) -> list[Tensor]:
    """Of each token class the sum of its nll; where attention is kept, that of its distances from the target's."""
    values = nll(tokens.logits, tokens.labels)
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
