"""From items through the model to the tokens that losses are made of, and back to where the model ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import cast

import torch
from torch import Tensor

from duolearn_cli.concepts.token_classes import NEUTRAL, PRESERVE, UNLEARN
from duolearn_cli.methods.base import NO_ATTENTION, Attention, Objective
from duolearn_cli.methods.tokens import Labels, Tokens
from duolearn_cli.model.attention import retention
from duolearn_cli.model.encoding import Batch, Encoded, collate
from duolearn_cli.model.host_to_device import Rows, places, send
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.model.readout import Readout
from duolearn_cli.training.references import Reference, attend

# A token whose nll the target had lowered by more than this (nats) against the base counts as memorised in reports.
MEMORISED = -1.0
SIDES = ("forget", "preserve")
REFERENCES = ("base", "target")
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
    formed_nll: Tensor
    token_kind: Sequence[int] = ()


def labels_of(examples: Sequence[Example], labels: str) -> Labels:
    """What is known of the labelled tokens of `examples` without a forward."""
    found = [example.text.labels(labels) for example in examples]
    rows = list(zip(examples, found, strict=True))
    counts = torch.tensor([len(place) for place in found])

    def by_item(values: Sequence[object], dtype: torch.dtype) -> Tensor:
        return torch.tensor(values, dtype=dtype).repeat_interleave(counts)

    return Labels(
        labels=torch.tensor([example.text.ids[i] for example, place in rows for i in place], dtype=torch.long),
        base_nll=torch.cat([example.reference.base_nll for example in examples]),
        formed_nll=torch.cat([example.formed_nll for example in examples]),
        target_nll=torch.cat([example.reference.target_nll for example in examples]),
        kind=torch.tensor([kind for example in examples for kind in example.kind], dtype=torch.long),
        level_weight=torch.tensor(
            [weight for example in examples for weight in example.level_weight], dtype=torch.float32
        ),
        item_weight=by_item([example.weight for example in examples], torch.float32),
        is_forget=by_item([example.is_forget for example in examples], torch.bool),
        is_answer=torch.tensor([example.text.is_answer[i] for example, place in rows for i in place]).bool(),
        sequence=by_item(list(range(len(examples))), torch.long),
        num_sequences=len(examples),
        preserved=torch.tensor(
            [i for i, example in enumerate(examples) for kind in example.token_kind if kind == PRESERVE],
            dtype=torch.long,
        ),
    )


@dataclass(frozen=True, eq=False)
class Group:
    """Examples of one kind that went through the model together.

    `outputs` are what `references.attend` gives. The graph of losses ends at their copies, the `leaves`: how a loss
    goes on from there is for this group's own graph, so that none is entered for a loss that it has no part in.
    """

    examples: Sequence[Example]
    batch: Batch
    outputs: Mapping[str, Tensor]
    leaves: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Forward:
    """What went through the model, by group, and the tokens that losses are made of."""

    groups: Sequence[Group]
    tokens: Tokens
    together: bool

    def reached(self, loss: Tensor) -> list[tuple[list[Tensor], list[Tensor]] | None]:
        """Each group's outputs that `loss` is made of, and its gradients there; None for a group that has no part.

        Of a cut model, where each process must go as the others do, all groups have, with all outputs.
        """
        if not loss.requires_grad:
            return [None for _ in self.groups]
        leaves = [leaf for group in self.groups for leaf in group.leaves.values()]
        # What a loss is made of its graph tells: for values the host would have to wait.
        pulled = torch.autograd.grad(
            loss, leaves, retain_graph=True, allow_unused=True, materialize_grads=self.together
        )
        gradients = iter(cast("Sequence[Tensor | None]", pulled))
        reached = []
        for group in self.groups:
            pairs = [(output, next(gradients)) for output in group.outputs.values()]
            own = [(output, given) for output, given in pairs if given is not None and (self.together or given.numel())]
            reached.append(([output for output, _ in own], [given for _, given in own]) if own else None)
        return reached

    def item_by_item(self) -> Forward:
        """The same forward with losses that each item has by itself, as private steps need them."""
        return replace(self, tokens=replace(self.tokens, step=None))

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
    together: bool = False,
) -> Forward:
    """Run one forward over all examples. Forget and retain items have rows of their own unless they go `together`.

    Args:
        attention: what the method reads or changes inside the model.
        pack_to: the number of tokens in a row that several texts share; None: one text a row.
        step: the labels of the whole step, where `examples` are a part of it. Means are taken over the step.
    """
    sides = [list(run) for _, run in groupby(examples, lambda example: together or example.is_forget)]
    groups = [_forward(model, side, labels, attention, pack_to) for side in sides]

    def stored(name: str, dim: int = 0) -> Tensor:
        return torch.cat([getattr(example.reference, name) for example in examples], dim)

    own, names = labels_of(examples, labels), groups[0].leaves
    leaves = {name: [group.leaves[name] for group in groups] for name in names}
    hidden = Rows(leaves["hidden"], together)
    tokens = Tokens(
        **vars(own),
        readout=Readout(model, hidden, own.labels, {name: partial(stored, f"{name}_hidden") for name in REFERENCES}),
        step=step or own,
        attention=torch.cat(leaves["attention"], 1) if "attention" in names else None,
        target_attention=send(stored("target_attention", 1), model.device) if "attention" in names else None,
        activations=Rows(leaves["activations"], together) if "activations" in names else None,
        target_activations=stored("target_activations") if "activations" in names else None,
    )
    return Forward(groups, tokens, together)


def _forward(
    model: LanguageModel, examples: Sequence[Example], labels: str, attention: Attention, pack_to: int | None
) -> Group:
    batch = collate([example.text for example in examples], labels, pack_to=pack_to).to(model.device)
    outputs = attend(model, batch, attention, [example.token_kind for example in examples])
    leaves = {name: output.detach().requires_grad_(output.requires_grad) for name, output in outputs.items()}
    return Group(examples, batch, outputs, leaves)


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
    found = [values[places(mask, values.device)].sum() for mask in classes(tokens).values()]
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
