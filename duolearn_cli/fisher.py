"""Squared gradients of single examples, by adapter coordinate.

Averaged, they are the diagonal of the empirical Fisher information where the loss is a negative log-likelihood.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from duolearn_cli.data.encoding import Batch
from duolearn_cli.parallel import summed_like
from duolearn_cli.singles import SingleGradients


class SquaredGradients(SingleGradients):
    """Adds up, over examples, the squares of their gradients by adapter coordinate, for each of several losses.

    The order of coordinates is that of `parameters`.
    """

    def __init__(self, network: nn.Module, parameters: Sequence[nn.Parameter]) -> None:
        super().__init__(network, parameters)
        self._sums: dict[tuple[str, int], Tensor] = {}
        self._loss = ""

    @contextmanager
    def collecting(self, loss: str, batch: Batch, examples: Sequence[int]) -> Iterator[None]:
        """Add the squares of these examples of `batch` to those of `loss` during a backward."""
        self._loss = loss
        with self.following(batch, examples):
            yield

    def take(self, loss: str) -> Tensor:
        """Those of one loss, flat [adapter], and forget them: this process's sums, of a cut model all processes'."""
        found = []
        for place, parameter in enumerate(self.parameters):
            own = self._sums.pop((loss, place), torch.zeros(parameter.shape, device=parameter.device))
            found.append(summed_like(own, parameter).reshape(-1))
        return torch.cat(found)

    def receive(self, place: int, single: Tensor) -> None:
        squares, key = single.square_().sum(0), (self._loss, place)
        self._sums[key] = self._sums[key].add_(squares) if key in self._sums else squares
