"""Squared gradients of single examples over a LoRA adapter, from one ordinary backward.

The gradient of a linear layer's weight is the sum over tokens of (gradient of the output) x (input). Grouped by
example that gives every example's own gradient, whose squares, averaged, are the diagonal of the empirical Fisher
information where the loss is a negative log-likelihood.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from duolearn_cli.data.encoding import Batch
from duolearn_cli.errors import ModelError
from duolearn_cli.parallel import summed_like


class SquaredGradients:
    """Adds up, over examples, the squares of their gradients by adapter coordinate, for each of several losses.

    Forwards inside `watching` leave their hooks in the graph; only a backward inside `collecting` adds anything. The
    order of coordinates is that of `parameters`.

    Raises:
        ModelError: one of the parameters is not the weight of a linear layer.
    """

    def __init__(self, network: nn.Module, parameters: Sequence[nn.Parameter]) -> None:
        self._parameters = parameters
        owners = {id(m.weight): m for m in network.modules() if isinstance(m, nn.Linear)}
        self._modules = [owners.get(id(parameter)) for parameter in self._parameters]
        if not all(self._modules):
            raise ModelError(
                "gradients of single examples are known for adapters on linear layers only. Mend: "
                "model.adapter.targets without embeddings; or method.geometry.metric=euclidean, "
                "method.geometry.fisher_price=0 and method.sparsity.unit=none."
            )
        self._sums: dict[tuple[str, nn.Module], Tensor] = {}
        self._loss = ""
        self._examples: Sequence[int] | slice = ()
        self._layout: Tensor | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Follow what the adapter's layers compute."""
        hooks = [module.register_forward_hook(self._follow) for module in self._modules if module is not None]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @contextmanager
    def collecting(self, loss: str, batch: Batch, examples: Sequence[int]) -> Iterator[None]:
        """Add the squares of these examples of `batch` to those of `loss` during a backward."""
        self._loss, self._examples = loss, _run(examples)
        self._layout = _layout(batch) if batch.packed else None
        try:
            yield
        finally:
            self._examples, self._layout = (), None

    def take(self, loss: str) -> Tensor:
        """Those of one loss, flat [adapter], and forget them: this process's sums, of a cut model all processes'."""
        found = []
        for module, parameter in zip(self._modules, self._parameters, strict=True):
            assert module is not None
            own = self._sums.pop((loss, module), torch.zeros(parameter.shape, device=parameter.device))
            found.append(summed_like(own, parameter).reshape(-1))
        return torch.cat(found)

    def _follow(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        if output.requires_grad:
            given = inputs[0].detach()
            output.register_hook(lambda gradient: self._add(module, given, gradient))

    def _add(self, module: nn.Module, given: Tensor, gradient: Tensor) -> None:
        if not self._examples:
            return
        given, gradient = self._by_example(given), self._by_example(gradient)
        single = torch.einsum("eto,eti->eoi", gradient, given.to(gradient.dtype)).float()
        squares = single.square_().sum(0)
        key = self._loss, module
        self._sums[key] = self._sums[key].add_(squares) if key in self._sums else squares

    def _by_example(self, rows: Tensor) -> Tensor:
        """[rows, length, width] -> [examples, length, width]; packed texts get a row each, filled up with zeros."""
        if self._layout is not None:
            flat = torch.cat([rows.flatten(0, 1), rows.new_zeros(1, rows.shape[-1])])
            rows = flat[self._layout]
        return rows[self._examples]


def _run(examples: Sequence[int]) -> Sequence[int] | slice:
    """A slice where the indices follow one another, as they mostly do: a view needs no copy."""
    if examples and list(examples) == list(range(examples[0], examples[-1] + 1)):
        return slice(examples[0], examples[-1] + 1)
    return list(examples)


def _layout(batch: Batch) -> Tensor:
    """Where each token of each text is in the flattened rows, -1 for none. Shape: [texts, longest]."""
    starts = [i for i, place in enumerate(batch.place.flatten()[batch.token].tolist()) if place == 0]
    ends = [*starts[1:], len(batch.token)]
    layout = batch.token.new_full((len(starts), batch.longest), -1)
    for text, (start, end) in enumerate(zip(starts, ends, strict=True)):
        layout[text, : end - start] = batch.token[start:end]
    return layout
