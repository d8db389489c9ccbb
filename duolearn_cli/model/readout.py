"""What losses read off the output layer, token by token: logits of a step are never there all at once.

A number that depends on one token's logits alone has a gradient with respect to that token's hidden state alone. Both
are computed in one pass over chunks of tokens; then the logits are gone, and however many losses are made of the
numbers, no backward goes through the output layer again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from duolearn_cli.errors import present
from duolearn_cli.model import losses
from duolearn_cli.model.host_to_device import Rows, checked_mask, send
from duolearn_cli.model.sizes import LOGITS_PER_CHUNK


class Head(Protocol):
    """An output layer that is not trained."""

    vocabulary: int

    def head(self, hidden: Tensor) -> Tensor:
        """Logits. Shape: [n, width] -> [n, vocabulary]."""
        ...

    def pull(self, gradient: Tensor, logits: Tensor) -> Tensor:
        """The gradient at the hidden states of one at their `logits`. Shapes: both [n, vocabulary] -> [n, width]."""
        ...


@dataclass(frozen=True, eq=False)
class Reading:
    """A number for each token of a mask, of that token's logits alone.

    Attributes:
        function: logits [m, vocabulary], labels [m], the reference's logits [m, vocabulary] (or None) -> [m].
        where: which tokens, a mask [n] on the host.
        reference: the model that `function` compares with, ``base`` or ``target``; None: it does not.
    """

    function: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    where: Tensor
    reference: str | None = None


def nll_at(where: Tensor) -> Reading:
    """Negative log-likelihood of the labels of some tokens, in nats."""
    return Reading(lambda logits, labels, reference: losses.nll(logits, labels), where)


def kl_at(where: Tensor, reference: str) -> Reading:
    """KL(reference || model) at some tokens, in nats; `reference` is ``base`` or ``target``."""

    def divergence(logits: Tensor, labels: Tensor, reference: Tensor | None) -> Tensor:
        return losses.kl(present(reference, "the reference"), logits)

    return Reading(divergence, where, reference)


def kl_of_others_at(where: Tensor, reference: str) -> Reading:
    """KL(reference || model) of all tokens but the label, given that it is not that, at some places, in nats."""

    def divergence(logits: Tensor, labels: Tensor, reference: Tensor | None) -> Tensor:
        return losses.kl_of_others(present(reference, "the reference"), logits, labels)

    return Reading(divergence, where, reference)


class Readout:
    """Reads numbers off the hidden states [n, width] of labelled tokens.

    `references` gives, by name, the hidden states of another model at the same tokens [n, width], on the host.
    """

    def __init__(
        self, head: Head, hidden: Rows, labels: Tensor, references: Mapping[str, Callable[[], Tensor]]
    ) -> None:
        self.device = hidden.parts[0].device
        self._head, self._hidden, self._references = head, hidden, references
        self._labels = send(labels, self.device)
        self._nll: Tensor | None = None

    @property
    def nll(self) -> Tensor:
        """Negative log-likelihood of every label, without a gradient [n]; free once something has been read."""
        if self._nll is None:
            self.read()
        return present(self._nll, "the loss of every label")

    def read(self, *readings: Reading) -> list[Tensor]:
        """The numbers of each reading, with their gradient. Shapes: [m], in the order of the tokens."""
        wants_rows = torch.is_grad_enabled() and self._hidden.requires_grad
        with torch.no_grad():
            values, rows, nll = self._pass(readings, wants_rows)
        self._nll = nll
        if not wants_rows:
            return values
        return [
            _Linearised.apply(self._hidden[reading.where], value, row)
            for reading, value, row in zip(readings, values, rows, strict=True)
        ]

    def _pass(self, readings: Sequence[Reading], wants_rows: bool) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """One pass over chunks: each reading's values [m] and rows [m, width], and the nll of all tokens [n]."""
        others = {
            name: hidden() for name, hidden in self._references.items() if any(r.reference == name for r in readings)
        }
        places = [checked_mask(reading.where).nonzero().squeeze(1) for reading in readings]
        sent = [send(place, self.device) for place in places]
        hidden = self._hidden.joined()
        values: list[list[Tensor]] = [[] for _ in readings]
        rows: list[list[Tensor]] = [[] for _ in readings]
        nll: list[Tensor] = []
        size = max(1, LOGITS_PER_CHUNK // self._head.vocabulary)
        for start in range(0, max(1, len(self._labels)), size):
            chunk = slice(start, start + size)
            logits, labels = self._head.head(hidden[chunk]), self._labels[chunk]
            nll.append(losses.nll(logits, labels))
            for i, (reading, place) in enumerate(zip(readings, places, strict=True)):
                # Where a chunk begins and ends the host knows: the device need not say how many tokens are in it.
                own = slice(*torch.searchsorted(place, torch.tensor([start, start + size])).tolist())
                here, other = sent[i][own] - start, None
                if reading.reference is not None:
                    other = self._head.head(send(others[reading.reference][place[own]], self.device))
                own_logits = logits[here]
                value, slope = _slope(reading, own_logits, labels[here], other, wants_rows)
                values[i].append(value)
                rows[i].append(self._head.pull(slope, own_logits.detach()) if wants_rows else hidden[:0])
        return [torch.cat(parts) for parts in values], [torch.cat(parts) for parts in rows], torch.cat(nll)


def _slope(
    reading: Reading, logits: Tensor, labels: Tensor, other: Tensor | None, wanted: bool
) -> tuple[Tensor, Tensor]:
    """A reading's values [m] and, where wanted, their gradients at the logits [m, vocabulary]."""
    if not wanted:
        return reading.function(logits, labels, other), logits[:0]
    with torch.enable_grad():
        leaf = logits.requires_grad_()
        value = reading.function(leaf, labels, other)
        # Each value is of its own token alone: the gradient of their sum holds that of each in its row.
        (slope,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach(), slope


class _Linearised(torch.autograd.Function):
    """Numbers [m] whose gradients with respect to `hidden` [m, width] are the rows of a matrix."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, value: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows.to(hidden.dtype))
        return value.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (rows,) = ctx.saved_tensors
        return gradient[:, None] * rows, None, None
