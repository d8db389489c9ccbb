"""Gradients of single examples over a LoRA adapter, from one ordinary backward.

The gradient of a linear layer's weight is the sum over tokens of (gradient of the output) x (input). Grouped by
example that gives every example's own gradient.

PEFT adapts fused experts and routers by way of their parameters: the matrices of the pair are then no layers that
anything goes through. There an example's tokens go through the adapted module once more, alone, in the backward, with
the gradients that came to them. That costs one more forward and backward of these modules for each example.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from peft.tuners.lora.layer import ParamWrapper
from torch import Tensor, nn

from duolearn_cli.errors import ModelError
from duolearn_cli.model.encoding import Batch
from duolearn_cli.training.module_uses import ModuleUses


class SingleGradients(ABC):
    """Follows the adapter's layers; what becomes of the gradients is for those below it to say.

    Forwards inside `watching` leave their hooks in the graph; only a backward inside `following` gives anything.
    `received` are the places of the parameters that a backward has come to. `by_hand` are the modules through which
    each example is sent again. That all of this holds for a model, `single_probe.check_singles` finds out.

    Raises:
        ModelError: one of the parameters belongs to no linear layer and no module that PEFT adapts by its parameters.
    """

    def __init__(self, network: nn.Module, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = parameters
        place = {id(parameter): i for i, parameter in enumerate(parameters)}
        self.by_hand = {module: [place[id(p)] for p in own] for module, own in _by_hand(network, place)}
        again = {i for places in self.by_hand.values() for i in places}
        linear = [(m, place.get(id(m.weight))) for m in network.modules() if isinstance(m, nn.Linear)]
        self._place: dict[nn.Module, int] = {m: i for m, i in linear if i is not None and i not in again}
        if len(self._place) + len(again) < len(parameters):
            raise ModelError(
                "gradients of single examples are known for adapters on linear layers and fused experts alone. Mend: "
                "model.adapter.targets without embeddings; or privacy=none, method.geometry.metric=euclidean, "
                "method.geometry.fisher_price=0 and method.sparsity.unit=none."
            )
        self.received: set[int] = set()
        self._examples: Sequence[int] | slice = ()
        self._pooled: Sequence[int] | slice = ()
        self._batch: Batch | None = None
        self._layout: Tensor | None = None
        self._roots: list[Tensor] = []
        self._uses = ModuleUses(network, {*self._place, *self.by_hand})

    @abstractmethod
    def receive(self, place: int, single: Tensor, uses: int) -> None:
        """Take one parameter's gradients of single examples; it is that of number `place`. Shape: [e, out, in].

        A module that is used more than once in a forward gives a part of the gradient for each of its `uses`; a use
        that the loss does not depend on gives none.
        """

    def receive_sum(self, place: int, total: Tensor) -> None:
        """Take the sum of one parameter's gradients over the pooled examples, if there are any. Shape: [out, in]."""
        raise AssertionError(f"{type(self).__name__} pools no examples")

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Follow what the adapter's layers compute."""
        self._roots = []
        hooks = self._uses.hooks()
        hooks += [module.register_forward_hook(self._follow) for module in self._place]
        hooks += [module.register_forward_hook(self._follow_whole, with_kwargs=True) for module in self.by_hand]
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
        self._examples, self._pooled, self._batch = _run(examples), _run(pooled), batch
        self._layout = _layout(batch) if batch.packed else None
        try:
            yield
        finally:
            self._examples, self._pooled, self._batch, self._layout = (), (), None, None

    def backward(self, outputs: Sequence[Tensor], gradients: Sequence[Tensor] | None = None) -> None:
        """Go back without the parameters' own gradients, which would cost as much again as single ones.

        `gradients` are those at the `outputs`; a single loss needs none. Everything that is followed lies between the
        outputs and the first followed layers. The graph stays, for another backward.
        """
        torch.autograd.grad(outputs, self._roots, gradients, retain_graph=True, allow_unused=True)

    def _follow(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        if output.requires_grad:
            given, uses = inputs[0].detach(), self._uses.current
            uses[module] += 1
            output.register_hook(lambda gradient: self._add(self._place[module], given, gradient, uses[module]))
            if not inputs[0].requires_grad:
                self._roots.append(output)

    def _add(self, place: int, given: Tensor, gradient: Tensor, uses: int) -> None:
        if not self._examples and not self._pooled:
            return
        self.received.add(place)
        given, gradient = self._by_example(given), self._by_example(gradient)
        given, wide = given.to(gradient.dtype), torch.promote_types(gradient.dtype, torch.float32)
        if self._examples:
            own, theirs = gradient[self._examples], given[self._examples]
            self.receive(place, torch.einsum("eto,eti->eoi", own, theirs).to(wide), uses)
        if self._pooled:
            own, theirs = gradient[self._pooled].flatten(0, 1), given[self._pooled].flatten(0, 1)
            self.receive_sum(place, (own.T @ theirs).to(wide))

    def _by_example(self, values: Tensor) -> Tensor:
        """[rows, length, ..., width] -> [texts, tokens, width]; packed texts get a row each, filled up with zeros.

        Rows may have come as one run of tokens, or of heads. What is laid out otherwise gives NaN: no example can be
        told there.
        """
        assert self._batch is not None
        rows, length = self._batch.ids.shape
        if values.shape[:3] == (rows, 1, length):
            values = values.squeeze(1)
        elif values.shape[:2] != (rows, length) or values.ndim < 3:
            if values.shape[0] != rows * length:
                return values.new_full((len(self._batch.texts), 1, values.shape[-1]), torch.nan)
            values = values.unflatten(0, (rows, length))
        if self._layout is not None:
            tokens = values.flatten(0, 1)
            values = torch.cat([tokens, tokens.new_zeros(1, *tokens.shape[1:])])[self._layout]
        return values.flatten(1, -2)

    def _follow_whole(self, module: nn.Module, inputs: Any, named: dict[str, Any], output: Any) -> Any:
        """Give the outputs on as copies: what comes back to a copy comes from outside of the module."""
        outputs = output if isinstance(output, tuple) else (output,)
        given = [value.detach() if isinstance(value, Tensor) else value for value in (*inputs, *named.values())]
        needs = any(isinstance(value, Tensor) and value.requires_grad for value in (*inputs, *named.values()))
        call = _Call(module, len(inputs), tuple(named), _casts(outputs))
        copies, uses = [], self._uses.current
        for i, value in enumerate(outputs):
            if isinstance(value, Tensor) and value.requires_grad:
                value = value.clone()
                value.register_hook(partial(self._add_by_hand, call, uses, given, i))
                uses[module] += 1
                if not needs:
                    self._roots.append(value)
            copies.append(value)
        return tuple(copies) if isinstance(output, tuple) else copies[0]

    def _add_by_hand(
        self,
        call: _Call,
        uses: Counter[nn.Module],
        given: Sequence[Any],
        output: int,
        gradient: Tensor,
    ) -> None:
        """Send the tokens of each followed example through the module again; those of pooled ones together."""
        if self._batch is None or not (self._examples or self._pooled):
            return
        places = self.by_hand[call.module]
        parameters = [self.parameters[place] for place in places]
        tokens = self._batch.token.split([len(text) for text in self._batch.texts])

        def single(own: Tensor) -> list[Tensor]:
            parts = [self._of_tokens(value, own) for value in (*given, gradient)]
            return [found.to(wide) for found in call.gradients(parts[:-1], output, parts[-1], parameters)]

        numbers = range(len(tokens))
        wide = torch.promote_types(gradient.dtype, torch.float32)
        singles = [single(tokens[i]) for i in _chosen(numbers, self._examples)]
        for at, place in enumerate(places):
            self.received.add(place)
            if singles:
                self.receive(place, torch.stack([one[at] for one in singles]), uses[call.module])
        if self._pooled:
            total = single(torch.cat([tokens[i] for i in _chosen(numbers, self._pooled)]))
            for place, part in zip(places, total, strict=True):
                self.receive_sum(place, part)

    def _of_tokens(self, value: Any, own: Tensor) -> Any:
        """The rows of a tensor that belong to the tokens `own`, which count in flattened rows; others as they are."""
        assert self._batch is not None
        shape = tuple(self._batch.ids.shape)
        if not isinstance(value, Tensor) or not value.ndim:
            return value
        if value.shape[0] == shape[0] * shape[1]:
            return value[own]
        return value.flatten(0, 1)[own][None] if value.shape[:2] == shape and value.ndim > 2 else value


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

    def receive(self, place: int, single: Tensor, uses: int) -> None:
        self._parts[place].add_(single.flatten(1))

    def receive_sum(self, place: int, total: Tensor) -> None:
        self._totals[place].add_(total.flatten())


def _by_hand(network: nn.Module, wanted: Collection[int]) -> Iterator[tuple[nn.Module, list[nn.Parameter]]]:
    """Modules that PEFT adapts by their parameters, the outer one of several, each with the matrices of its pairs."""
    wrappers = [module for module in network.modules() if isinstance(module, ParamWrapper)]
    inner = {id(module.base_layer) for module in wrappers}
    for outer in wrappers:
        if id(outer) in inner:
            continue
        own: list[nn.Parameter] = []
        module: nn.Module = outer
        while isinstance(module, ParamWrapper):
            own += [p for part in (module.lora_A, module.lora_B) for p in part.parameters() if id(p) in wanted]
            module = module.base_layer
        if own:
            yield outer, own


def _casts(outputs: Sequence[Any]) -> AbstractContextManager[Any]:
    """The automatic casts that hold now: a backward runs outside of them."""
    device = next((value.device.type for value in outputs if isinstance(value, Tensor)), "cpu")
    if not torch.is_autocast_enabled(device):
        return nullcontext()
    return torch.autocast(device, torch.get_autocast_dtype(device))


@dataclass(frozen=True, eq=False, slots=True)
class _Call:
    """How a module was called in the forward, so that it can be called again with some of the tokens."""

    module: nn.Module
    num_positional: int
    keywords: Sequence[str]
    casts: AbstractContextManager[Any]

    def gradients(
        self, values: Sequence[Any], output: int, gradient: Tensor, parameters: Sequence[nn.Parameter]
    ) -> list[Tensor]:
        """The gradients of `parameters` for a `gradient` at one `output` of the module; zeros where it has none."""
        named = dict(zip(self.keywords, values[self.num_positional :], strict=True))
        with torch.enable_grad(), self.casts:
            outputs = self.module(*values[: self.num_positional], **named)
        chosen = outputs[output] if isinstance(outputs, tuple) else outputs
        return list(torch.autograd.grad([chosen], parameters, [gradient], allow_unused=True, materialize_grads=True))


def _chosen(numbers: Sequence[int], which: Sequence[int] | slice) -> Sequence[int]:
    return numbers[which] if isinstance(which, slice) else which


def _run(examples: Sequence[int]) -> Sequence[int] | slice:
    """A slice where the indices follow one another, as they mostly do: a view needs no copy."""
    if examples and list(examples) == list(range(examples[0], examples[-1] + 1)):
        return slice(examples[0], examples[-1] + 1)
    return list(examples)


def _layout(batch: Batch) -> Tensor:
    """Where each token of each text is in the flattened rows, -1 for none. Shape: [texts, longest]."""
    parts = list(batch.token.split([len(text) for text in batch.texts]))
    return nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=-1)
