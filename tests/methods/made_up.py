"""Made-up tokens in float64: a few items with logits of their own, as a step or a private step has them."""

from __future__ import annotations

import torch

from duolearn_cli.concepts.token_classes import PRESERVE, UNLEARN
from duolearn_cli.methods.tokens import Tokens
from duolearn_cli.model.host_to_device import Rows
from duolearn_cli.model.losses import nll
from duolearn_cli.model.readout import Readout

VOCABULARY, WIDTH = 7, 5
# How many labelled tokens each item has, whether it is to be forgotten, and its weight.
ITEMS = ((1, True, 1.0), (3, True, 0.5), (2, False, 1.0), (4, True, 1.5), (1, False, 2.0))


class Identity:
    """An output layer that hands hidden states on: those that are made up are logits themselves."""

    vocabulary = VOCABULARY

    def head(self, hidden):
        return hidden

    def pull(self, gradient, logits):
        return gradient


def made_up(seed=0, private=False, scale=1.0, logits=None, target=None):
    """Tokens, and the leaves that their losses end at: logits and activations. `scale` spreads the logits."""
    generator = torch.Generator().manual_seed(seed)
    counts, forgets, weights = (torch.tensor(each) for each in zip(*ITEMS, strict=True))
    total = int(counts.sum())
    draws = torch.randn(3, total, VOCABULARY, generator=generator, dtype=torch.float64) * scale
    inner = torch.randn(2, total, WIDTH, generator=generator, dtype=torch.float64)
    labels = torch.randint(VOCABULARY, (total,), generator=generator)
    logits = (draws[0] if logits is None else logits).clone().requires_grad_()
    base, target = draws[1], draws[2] if target is None else target
    activations = inner[0].clone().requires_grad_()
    known = {
        "labels": labels,
        "base_nll": nll(base, labels),
        "formed_nll": nll(base, labels),
        "target_nll": nll(target, labels),
        "kind": torch.where(forgets, UNLEARN, PRESERVE).repeat_interleave(counts),
        "level_weight": torch.ones(total, dtype=torch.float64),
        "item_weight": weights.double().repeat_interleave(counts),
        "is_forget": forgets.repeat_interleave(counts),
        "is_answer": torch.ones(total, dtype=torch.bool),
        "sequence": torch.arange(len(ITEMS)).repeat_interleave(counts),
        "num_sequences": len(ITEMS),
        "preserved": torch.zeros(0, dtype=torch.long),
    }
    tokens = Tokens(
        **known,
        readout=Readout(Identity(), Rows([logits]), labels, {"base": lambda: base, "target": lambda: target}),
        step=None,
        activations=Rows([activations]),
        target_activations=inner[1],
    )
    if not private:
        object.__setattr__(tokens, "step", tokens)
    return tokens, logits, activations, target


def items():
    """Each item's tokens, whether it is to be forgotten, and its weight."""
    start = 0
    for count, is_forget, weight in ITEMS:
        yield range(start, start + count), is_forget, weight
        start += count
