"""Numbers that losses read from the output layer, token by token. The logits of a step never exist all at once.

A number that depends only on one token's logits has a gradient only at that token's hidden state. Number and gradient
are computed together, in one pass over chunks of tokens, and then the logits are freed. No backward goes through the
output layer again, however many losses use the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from duolearn_cli.errors import present
from duolearn_cli.model import losses
from duolearn_cli.model.host_to_device import Rows, checked_mask, send
from duolearn_cli.model.readings import Reading
from duolearn_cli.model.sizes import LOGITS_PER_CHUNK


class Head(Protocol):
    """A frozen output layer."""

    vocabulary: int

    def head(self, hidden: Tensor) -> Tensor:
        """Return the logits of hidden states. Shapes: [n, width] -> [n, vocabulary]."""
        ...

    def pull(self, gradient: Tensor, logits: Tensor) -> Tensor:
        """Turn a gradient at `logits` into one at the hidden states. Shapes: both [n, vocabulary] -> [n, width]."""
        ...


class Readout:
    """Reads numbers from the hidden states of n labelled tokens.

    Args:
        head: the output layer.
        hidden: the hidden states, [n, width], in one or several parts.
        labels: the labels, [n], on the host.
        references: by name of another model, a function that returns its hidden states at the same tokens, [n, width],
            on the host.
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
        """The negative log-likelihood of every label, [n], without a gradient. It costs nothing after a `read`."""
        if self._nll is None:
            self.read()
        return present(self._nll, "the loss of every label")

    def read(self, *readings: Reading) -> list[Tensor]:
        """Return the numbers of each reading, [m], in the order of the tokens, with their gradients."""
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
        """Make one pass over chunks of tokens.

        Returns:
            The values of each reading, [m]; their gradients at the hidden states, [m, width] (empty unless
            `wants_rows`); and the nll of all tokens, [n].
        """
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
        # A step without labels still makes one empty chunk: torch.cat needs at least one part.
        for start in range(0, max(1, len(self._labels)), size):
            chunk = slice(start, start + size)
            logits, labels = self._head.head(hidden[chunk]), self._labels[chunk]
            nll.append(losses.nll(logits, labels))
            for i, (reading, place) in enumerate(zip(readings, places, strict=True)):
                # The host finds the tokens of the chunk, because asking the device for their number would wait for it.
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
    """Return a reading's values, [m], and if `wanted` their gradients at the logits, [m, vocabulary]."""
    if not wanted:
        return reading.function(logits, labels, other), logits[:0]
    with torch.enable_grad():
        leaf = logits.requires_grad_()
        value = reading.function(leaf, labels, other)
        # Each value depends only on its own token, so each row of the sum's gradient is the gradient of one value.
        (slope,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach(), slope


class _Linearised(torch.autograd.Function):
    """Numbers, [m], whose gradients at `hidden`, [m, width], are the given `rows`, [m, width]."""

    # The numbers and their gradients were computed before, without a graph; this function puts them into one.
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, value: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows.to(hidden.dtype))
        return value.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (rows,) = ctx.saved_tensors
        return gradient[:, None] * rows, None, None
