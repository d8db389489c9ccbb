"""The forward of a step: from training examples through the model to the tokens that a method's losses read.

The way back is in two parts. `Forward.reached` takes a loss back to the outputs of each group of examples; the caller
goes on from there, through the model, only for groups that have a part in the loss.
"""

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

# Reports count a token as memorised if its nll under the target is lower than under the base by more than this (nats).
MEMORISED = -1.0
SIDES = ("forget", "preserve")
REFERENCES = ("base", "target")
TOKEN_CLASSES = ("target", "memorised", "general_medical", "neutral")


@dataclass(frozen=True, eq=False)
class Example:
    """One training text with all that the loop needs to know about it.

    `kind`, `level_weight` and `formed_nll` hold one entry per labelled token, `token_kind` the class of every token.
    `formed_nll` is the base's nll adjusted for the form of answers (see `answer_form`).
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
    """Return what is known about the labelled tokens of `examples` before any forward. All tensors are on the host."""
    positions = [example.text.labels(labels) for example in examples]
    rows = list(zip(examples, positions, strict=True))
    counts = torch.tensor([len(own) for own in positions])

    def by_item(values: Sequence[object], dtype: torch.dtype) -> Tensor:
        return torch.tensor(values, dtype=dtype).repeat_interleave(counts)

    return Labels(
        labels=torch.tensor([example.text.ids[i] for example, own in rows for i in own], dtype=torch.long),
        base_nll=torch.cat([example.reference.base_nll for example in examples]),
        formed_nll=torch.cat([example.formed_nll for example in examples]),
        target_nll=torch.cat([example.reference.target_nll for example in examples]),
        kind=torch.tensor([kind for example in examples for kind in example.kind], dtype=torch.long),
        level_weight=torch.tensor(
            [weight for example in examples for weight in example.level_weight], dtype=torch.float32
        ),
        item_weight=by_item([example.weight for example in examples], torch.float32),
        is_forget=by_item([example.is_forget for example in examples], torch.bool),
        is_answer=torch.tensor([example.text.is_answer[i] for example, own in rows for i in own]).bool(),
        sequence=by_item(list(range(len(examples))), torch.long),
        num_sequences=len(examples),
        preserved=torch.tensor(
            [i for i, example in enumerate(examples) for kind in example.token_kind if kind == PRESERVE],
            dtype=torch.long,
        ),
    )


@dataclass(frozen=True, eq=False)
class Group:
    """Consecutive examples of one side (forget or retain) that went through the model in one batch.

    `outputs` are those of `references.attend`. Losses are computed from detached copies of them, the `leaves`, so the
    graph of a loss ends there. A backward then continues from `outputs` through this group's graph, and only if the
    loss depends on the group: a preserve loss need not go back through forget items.
    """

    examples: Sequence[Example]
    batch: Batch
    outputs: Mapping[str, Tensor]
    leaves: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Forward:
    """The result of one forward: its groups, and the tokens that losses read.

    `together` says that forget and retain items share one group, as sharded models need.
    """

    groups: Sequence[Group]
    tokens: Tokens
    together: bool

    def reached(self, loss: Tensor) -> list[tuple[list[Tensor], list[Tensor]] | None]:
        """Return, for each group, the outputs that `loss` depends on and the gradients at them; None if it has none.

        In a sharded model every process must run the same backward, so all outputs of all groups are returned.
        """
        if not loss.requires_grad:
            return [None for _ in self.groups]
        leaves = [leaf for group in self.groups for leaf in group.leaves.values()]
        # The graph alone says what a loss depends on. To look at values, the host would have to wait for the device.
        # The graph is retained, because the other loss goes back through it as well.
        pulled = torch.autograd.grad(
            loss, leaves, retain_graph=True, allow_unused=True, materialize_grads=self.together
        )
        gradients = iter(cast("Sequence[Tensor | None]", pulled))
        reached = []
        for group in self.groups:
            pairs = [(output, next(gradients)) for output in group.outputs.values()]
            own = [(output, grad) for output, grad in pairs if grad is not None and (self.together or grad.numel())]
            reached.append(([output for output, _ in own], [grad for _, grad in own]) if own else None)
        return reached

    def item_by_item(self) -> Forward:
        """Return the same forward with a loss for each item by itself, as private steps need it."""
        # A mean over the tokens of a step would make one record's gradient depend on the others, and clipping single
        # gradients would then bound no record's influence.
        return replace(self, tokens=replace(self.tokens, step=None))

    def figures(self, objective: Objective) -> Tensor:
        """Return both losses and the sums of `class_sums`, without gradients; `named_losses` names them."""
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
    """Run one forward over all examples.

    Args:
        labels: which tokens have labels, ``"answer"`` or ``"text"``.
        attention: what the method reads or changes inside the model.
        pack_to: the length in tokens of rows that several texts share; None: one text per row.
        step: the labels of the whole step, if `examples` are a part of it. Means are taken over the step.
        together: put forget and retain items into one batch, as sharded models need; else each side has its own.
    """
    # One group per side: the forget loss then needs no backward through retain items, nor the preserve loss through
    # forget items, unless a concept mention makes one.
    sides = [list(run) for _, run in groupby(examples, lambda example: together or example.is_forget)]
    groups = [_forward(model, side, labels, attention, pack_to) for side in sides]

    # A function, because references are large and a method may ask for none of them.
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
    # The cut between the graph of the losses and the graph of the model, see `Group`.
    leaves = {name: output.detach().requires_grad_(output.requires_grad) for name, output in outputs.items()}
    return Group(examples, batch, outputs, leaves)


def classes(labels: Labels) -> dict[str, Tensor]:
    """Return the masks [n] of the token classes that reports show, by name."""
    unlearned = labels.kind == UNLEARN
    memorised = unlearned & (labels.target_nll - labels.base_nll < MEMORISED)
    masks = (unlearned, memorised, labels.kind == PRESERVE, labels.kind == NEUTRAL)
    return dict(zip(TOKEN_CLASSES, masks, strict=True))


@torch.no_grad()
def class_sums(tokens: Tokens) -> list[Tensor]:
    """Return the sum of the nll in each token class and, if attention is kept, of its distance from the target's."""
    values = tokens.nll
    sums = [values[places(mask, values.device)].sum() for mask in classes(tokens).values()]
    if tokens.attention is None or tokens.target_attention is None:
        return sums
    return [*sums, retention(tokens.attention, tokens.target_attention).sum()]


def named_losses(figures: Tensor, step: Labels) -> dict[str, Tensor]:
    """Name the `figures` of a whole step, and turn the sums over token classes into means (NaN for an empty class)."""
    masks = classes(step)
    named = {"forget_loss": figures[0], "preserve_loss": figures[1]}
    named |= {name: figures[2 + i] / mask.sum() for i, (name, mask) in enumerate(masks.items())}
    has_attention = len(figures) > 2 + len(masks)
    return named | ({"attention": figures[-1] / max(1, len(step.preserved))} if has_attention else {})
