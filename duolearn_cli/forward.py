"""From items through the model to the tokens that losses are made of, and back to where the model ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import torch
from torch import Tensor

from duolearn_cli.attention import retention
from duolearn_cli.concepts.token_classes import NEUTRAL, PRESERVE, UNLEARN
from duolearn_cli.data.encoding import Batch, Encoded, collate
from duolearn_cli.methods.base import NO_ATTENTION, Attention, Labels, Objective, Tokens
from duolearn_cli.model import LanguageModel
from duolearn_cli.readout import Readout
from duolearn_cli.references import Reference, attend

# A token whose nll the target had lowered by more than this (nats) against the base counts as memorised in reports.
MEMORISED = -1.0
SIDES = ("forget", "preserve")
# Along which dimension outputs of that name are put side by side, group by group: see `references.attend`.
SIDE_BY_SIDE = {"hidden": 0, "attention": 1, "activations": 0}
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
    """Examples of one kind that went through the model together; `outputs` are what `references.attend` gives."""

    examples: Sequence[Example]
    batch: Batch
    outputs: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Forward:
    """What went through the model, by group, and the tokens that losses are made of.

    The losses' graph ends at `leaves`, the groups' outputs side by side: how a loss goes on from there is for each
    group's own graph, so that none is entered for a loss that it has no part in.
    """

    groups: Sequence[Group]
    tokens: Tokens
    leaves: Mapping[str, Tensor]
    together: bool

    def reached(self, loss: Tensor) -> list[tuple[list[Tensor], list[Tensor]] | None]:
        """Each group's outputs that `loss` is made of, and its gradients there; None for a group that has no part.

        Of a cut model, where each process must go as the others do, all groups have, with all outputs.
        """
        if not loss.requires_grad:
            return [None for _ in self.groups]
        found = torch.autograd.grad(
            loss, list(self.leaves.values()), retain_graph=True, allow_unused=True, materialize_grads=self.together
        )
        by_name: dict[str, Tensor | None] = dict(zip(self.leaves, found, strict=True))
        # An output that no loss is made of is left out: from it a backward would go through all layers for nothing.
        reached = {name: gradient for name, gradient in by_name.items() if gradient is not None}
        parts = {name: gradient.split(self._sizes(name), SIDE_BY_SIDE[name]) for name, gradient in reached.items()}
        pulled = [
            ([group.outputs[name] for name in parts], [own[i] for own in parts.values()])
            for i, group in enumerate(self.groups)
        ]
        if self.together or not parts:
            return [each if parts else None for each in pulled]
        # One transfer for all: each would make the host wait for the device.
        has_part = torch.stack([torch.stack([own.any() for own in gradients]).any() for _, gradients in pulled])
        return [each if mine else None for each, mine in zip(pulled, has_part.tolist(), strict=True)]

    def _sizes(self, name: str) -> list[int]:
        return [group.outputs[name].shape[SIDE_BY_SIDE[name]] for group in self.groups]

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
    joined = {
        name: torch.cat([group.outputs[name] for group in groups], SIDE_BY_SIDE[name]) for name in groups[0].outputs
    }
    leaves = {name: output.detach().requires_grad_(output.requires_grad) for name, output in joined.items()}

    def stored(name: str, dim: int = 0) -> Tensor:
        return torch.cat([getattr(example.reference, name) for example in examples], dim).to(model.device)

    own = labels_of(examples, labels, model.device)
    references = {name: partial(stored, f"{name}_hidden") for name in ("base", "target")}
    inside = {name: stored(f"target_{name}", SIDE_BY_SIDE[name]) for name in leaves if name != "hidden"}
    tokens = Tokens(
        **vars(own),
        readout=Readout(model, leaves["hidden"], own.labels, references),
        step=None if private else step or own,
        attention=leaves.get("attention"),
        target_attention=inside.get("attention"),
        activations=leaves.get("activations"),
        target_activations=inside.get("activations"),
    )
    return Forward(groups, tokens, leaves, together)


def _forward(
    model: LanguageModel, examples: Sequence[Example], labels: str, attention: Attention, pack_to: int | None
) -> Group:
    batch = collate([example.text for example in examples], labels, pack_to=pack_to).to(model.device)
    return Group(examples, batch, attend(model, batch, attention, [example.token_kind for example in examples]))


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
