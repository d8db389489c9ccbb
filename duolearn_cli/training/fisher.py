"""Squared gradients of single examples, by adapter coordinate.

Averaged, they are the diagonal of the empirical Fisher information where the loss is the negative log-likelihood of the
example's whole answer; of a mean over tokens, the squares of an example's part in it are that up to a constant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from duolearn_cli.model.distributed import sum_and_shard_like
from duolearn_cli.model.encoding import Batch
from duolearn_cli.training.per_example import SingleGradients


class SquaredGradients(SingleGradients):
    """Adds up, over the examples that are followed, the squares of their gradients by adapter coordinate.

    The order of coordinates is that of `parameters`. Inside `following` there is one backward.
    """

    def __init__(self, network: nn.Module, parameters: Sequence[nn.Parameter]) -> None:
        super().__init__(network, parameters)
        self._sums: dict[int, Tensor] = {}
        # Parts of gradients whose modules are used more than once, with how many parts these are: squared when whole.
        self._open: dict[int, tuple[Tensor, int]] = {}

    @contextmanager
    def following(self, batch: Batch, examples: Sequence[int], pooled: Sequence[int] = ()) -> Iterator[None]:
        """See `SingleGradients.following`."""
        with super().following(batch, examples, pooled):
            yield
        for place in list(self._open):
            self._square(place, self._open.pop(place)[0])

    def take(self) -> Tensor:
        """The sums, flat [adapter], and forget them: this process's, of a cut model all processes'."""
        found = []
        for place, parameter in enumerate(self.parameters):
            own = self._sums.pop(place, torch.zeros(parameter.shape, device=parameter.device))
            found.append(sum_and_shard_like(own, parameter).reshape(-1))
        return torch.cat(found)

    def receive(self, place: int, single: Tensor, uses: int) -> None:
        before, count = self._open.pop(place, (None, 0))
        single = single if before is None else before.add_(single)
        if count + 1 < uses:
            self._open[place] = single, count + 1
        else:
            self._square(place, single)

    def _square(self, place: int, single: Tensor) -> None:
        squares = single.square_().sum(0)
        self._sums[place] = self._sums[place].add_(squares) if place in self._sums else squares
