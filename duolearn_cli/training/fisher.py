"""Sums of squared per-example gradients, by adapter coordinate.

If an example's loss is the nll of its whole answer, their mean is the diagonal of the empirical Fisher information. If
the loss is a mean over the tokens of a batch, the squares of each example's part in it are the same up to a constant
(docs/geometry.md, "Which squares").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from duolearn_cli.model.distributed import sum_and_shard_like
from duolearn_cli.model.encoding import Batch
from duolearn_cli.training.per_example import PerExampleGradients


class SquaredGradients(PerExampleGradients):
    """Sums the squared per-example gradients over examples, by adapter coordinate in the order of `parameters`.

    Run exactly one backward inside `receiving`: a second one would add squares, not square the sum.
    """

    def __init__(self, network: nn.Module, parameters: Sequence[nn.Parameter]) -> None:
        super().__init__(network, parameters)
        self._sums: dict[int, Tensor] = {}
        # A module that is used several times gives a part of its gradient per use. The square needs their sum, so
        # incomplete sums wait here, with the number of parts so far.
        self._incomplete: dict[int, tuple[Tensor, int]] = {}

    @contextmanager
    def receiving(self, batch: Batch, examples: Sequence[int], pooled: Sequence[int] = ()) -> Iterator[None]:
        """See `PerExampleGradients.receiving`."""
        with super().receiving(batch, examples, pooled):
            yield
        # The backward is over: uses that the loss does not depend on will send no part any more.
        for index in list(self._incomplete):
            self._square(index, self._incomplete.pop(index)[0])

    def take(self) -> Tensor:
        """Return the sums as one vector [adapter] and reset them.

        They are this process's sums; if the model is sharded, they are summed over all processes.
        """
        sums = []
        for index, parameter in enumerate(self.parameters):
            # No example may have reached a parameter: an expert is reached only if a token goes there.
            own = self._sums.pop(index, torch.zeros(parameter.shape, device=parameter.device))
            sums.append(sum_and_shard_like(own, parameter).reshape(-1))
        return torch.cat(sums)

    def receive(self, index: int, gradients: Tensor, uses: int) -> None:
        before, count = self._incomplete.pop(index, (None, 0))
        gradients = gradients if before is None else before.add_(gradients)
        if count + 1 < uses:
            self._incomplete[index] = gradients, count + 1
        else:
            self._square(index, gradients)

    def _square(self, index: int, gradients: Tensor) -> None:
        # In place: the gradients were computed for this recorder alone, and they are as large as examples times matrix.
        squares = gradients.square_().sum(0)
        self._sums[index] = self._sums[index].add_(squares) if index in self._sums else squares
