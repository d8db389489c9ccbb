"""Predictions the plain way, as an oracle: all logits at once, and autograd through the whole model."""

from dataclasses import replace

import torch

from duolearn_cli.model import losses
from duolearn_cli.model.host_to_device import Rows
from duolearn_cli.training.forward import predict


class PlainReadout:
    """Every logit of every labelled token, with its graph."""

    def __init__(self, model, hidden, labels, examples):
        self.labels, self.logits, self.device = labels, model.head(hidden), hidden.device
        self.others = {
            name: model.head(torch.cat([getattr(example.reference, f"{name}_hidden") for example in examples]))
            for name in ("base", "target")
        }

    @property
    def nll(self):
        return losses.nll(self.logits, self.labels).detach()

    def read(self, *readings):
        found = []
        for one in readings:
            other = self.others[one.reference][one.where] if one.reference else None
            found.append(one.function(self.logits[one.where], self.labels[one.where], other))
        return found


def plain_tokens(model, examples, labels, *args, item_by_item=False, **settings):
    """Like `predict`, with tokens whose losses reach the adapter through autograd alone."""
    forward = predict(model, examples, labels, *args, together=True, **settings)
    forward = forward.item_by_item() if item_by_item else forward
    outputs = forward.groups[0].outputs
    readout = PlainReadout(model, outputs["hidden"], forward.tokens.labels, examples)
    inner = {"activations": Rows([outputs["activations"]])} if "activations" in outputs else {}
    return replace(forward.tokens, readout=readout, attention=outputs.get("attention"), **inner)
