"""Gradients of single examples over a LoRA adapter, from one ordinary backward.

The gradient of a linear layer's weight is the sum over tokens of (gradient of the output) x (input). Grouped by
example that gives every example's own gradient.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from duolearn_cli.data.encoding import Batch
from duolearn_cli.errors import ModelError


class SingleGradients(ABC):
    """Follows the adapter's layers; what becomes of the gradients is for those below it to say.

    Forwards inside `watching` leave their hooks in the graph; only a backward inside `following` gives anything.

    Raises:
        ModelError: one of the parameters is not the weight of a linear layer.
    """

    def __init__(self, network: nn.Module, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = parameters
        owners = {id(m.weight): m for m in network.modules() if isinstance(m, nn.Linear)}
        found = [owners.get(id(parameter)) for parameter in parameters]
        self._place: dict[nn.Module, int] = {module: place for place, module in enumerate(found) if module is not None}
        if len(self._place) < len(parameters):
            raise ModelError(
                "gradients of single examples are known for adapters on linear layers only. Mend: "
                "model.adapter.targets without embeddings; or privacy=none, method.geometry.metric=euclidean, "
                "method.geometry.fisher_price=0 and method.sparsity.unit=none."
            )
        self._examples: Sequence[int] | slice = ()
        self._pooled: Sequence[int] | slice = ()
        self._layout: Tensor | None = None
        self._roots: list[Tensor] = []

    @abstractmethod
    def receive(self, place: int, single: Tensor) -> None:
        """Take one parameter's gradients of single examples; it is that of number `place`. Shape: [e, out, in]."""

    def receive_sum(self, place: int, total: Tensor) -> None:
        """Take the sum of one parameter's gradients over the pooled examples, if there are any. Shape: [out, in]."""
        raise AssertionError(f"{type(self).__name__} pools no examples")

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Follow what the adapter's layers compute."""
        self._roots = []
        hooks = [module.register_forward_hook(self._follow) for module in self._place]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @contextmanager
    def following(self, batch: Batch, examples: Sequence[int], pooled: Sequence[int] = ()) -> Iterator[None]:
        """Receive the gradients of these examples of `batch`, in this order, during a backward.

        Of `pooled` ones only the sum is received, which costs less.
        """
        self._examples, self._pooled = _run(examples), _run(pooled)
        self._layout = _layout(batch) if batch.packed else None
        try:
            yield
        finally:
            self._examples, self._pooled, self._layout = (), (), None

    def backward(self, outputs: Sequence[Tensor], gradients: Sequence[Tensor] | None = None) -> None:
        """Go back without the parameters' own gradients, which would cost as much again as single ones.

        `gradients` are those at the `outputs`; a single loss needs none. Everything that is followed lies between the
        outputs and the first followed layers. The graph stays, for another backward.
        """
        torch.autograd.grad(outputs, self._roots, gradients, retain_graph=True, allow_unused=True)

    def _follow(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        if output.requires_grad:
            given = inputs[0].detach()
            output.register_hook(lambda gradient: self._add(self._place[module], given, gradient))
            if not inputs[0].requires_grad:
                self._roots.append(output)

    def _add(self, place: int, given: Tensor, gradient: Tensor) -> None:
        if not self._examples and not self._pooled:
            return
        given, gradient = self._by_example(given), self._by_example(gradient)
        given, wide = given.to(gradient.dtype), torch.promote_types(gradient.dtype, torch.float32)
        if self._examples:
            own, theirs = gradient[self._examples], given[self._examples]
            self.receive(place, torch.einsum("eto,eti->eoi", own, theirs).to(wide))
        if self._pooled:
            own, theirs = gradient[self._pooled].flatten(0, 1), given[self._pooled].flatten(0, 1)
            self.receive_sum(place, (own.T @ theirs).to(wide))

    def _by_example(self, rows: Tensor) -> Tensor:
        """[rows, length, width] -> [texts, length, width]; packed texts get a row each, filled up with zeros."""
        if self._layout is None:
            return rows
        return torch.cat([rows.flatten(0, 1), rows.new_zeros(1, rows.shape[-1])])[self._layout]


class GradientRows(SingleGradients):
    """Keeps the gradients of single examples as the rows of a matrix over the adapter; backwards add up."""

    @contextmanager
    def rows(
        self, batch: Batch, examples: Sequence[int], pooled: Sequence[int] = ()
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The matrix and the sum over pooled examples that backwards inside fill, zero at first.

        Shapes: [examples, adapter], [adapter].
        """
        sizes, first = [parameter.numel() for parameter in self.parameters], self.parameters[0]
        rows, total = first.new_zeros(len(examples), sum(sizes)).detach(), first.new_zeros(sum(sizes)).detach()
        self._parts, self._totals = rows.split(sizes, dim=1), total.split(sizes)
        with self.following(batch, examples, pooled):
            yield rows, total
        del self._parts, self._totals

    def receive(self, place: int, single: Tensor) -> None:
        self._parts[place].add_(single.flatten(1))

    def receive_sum(self, place: int, total: Tensor) -> None:
        self._totals[place].add_(total.flatten())


def _run(examples: Sequence[int]) -> Sequence[int] | slice:
    """A slice where the indices follow one another, as they mostly do: a view needs no copy."""
    if examples and list(examples) == list(range(examples[0], examples[-1] + 1)):
        return slice(examples[0], examples[-1] + 1)
    return list(examples)


def _layout(batch: Batch) -> Tensor:
    """Where each token of each text is in the flattened rows, -1 for none. Shape: [texts, longest]."""
    parts = list(batch.token.split([len(text) for text in batch.texts]))
    return nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=-1)
