"""Per-example gradients of a LoRA adapter, from one ordinary backward.

The gradient of a linear layer's weight is the sum over tokens of (gradient at the output) x (input). Summing over the
tokens of one example gives the gradient of that example. Hooks record the inputs in the forward and receive the
gradients at the outputs in the backward. At the small ranks of LoRA this costs 1.02 of a plain step; vmap costs 1.2 to
1.5, ghost clipping, which avoids the per-example matrices, 1.9 to 2.7.

PEFT adapts fused experts and routers through their parameters: the matrices of such a pair are no layers, so no hook
sees their input. During the backward, each example's tokens are therefore run through the adapted module once more,
alone, with the gradients that arrived for them. This costs one more forward and backward of these modules per example.
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

from duolearn_cli.errors import ModelError, present
from duolearn_cli.model.encoding import Batch
from duolearn_cli.training.module_uses import ModuleUses


class PerExampleGradients(ABC):
    """Computes per-example gradients; a subclass defines `receive`, which gets them one parameter at a time.

    Run the forward inside `recording`, then the backward inside `receiving`. A backward outside of `receiving` gives no
    per-example gradients. `per_example_probe.check_per_example` tests whether a model's gradients come out right.

    Attributes:
        parameters: the adapter's parameters; an index below is a position in this list.
        rerun: the modules through which each example is run again, with the indices of their parameters.
        received: the indices of the parameters that any backward has reached.

    Raises:
        ModelError: a parameter belongs neither to a linear layer nor to a module that PEFT adapts through its
            parameters.
    """

    def __init__(self, network: nn.Module, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = parameters
        index = {id(parameter): i for i, parameter in enumerate(parameters)}
        self.rerun = {module: [index[id(p)] for p in own] for module, own in _wrapped_modules(network, index)}
        again = {i for indices in self.rerun.values() for i in indices}
        linear = [(m, index.get(id(m.weight))) for m in network.modules() if isinstance(m, nn.Linear)]
        self._index: dict[nn.Module, int] = {m: i for m, i in linear if i is not None and i not in again}
        if len(self._index) + len(again) < len(parameters):
            raise ModelError(
                "per-example gradients exist only for adapters on linear layers and fused experts. Fix: "
                "model.adapter.targets without embeddings; or privacy=none, method.geometry.metric=euclidean, "
                "method.geometry.fisher_price=0 and method.sparsity.unit=none."
            )
        self.received: set[int] = set()
        self._examples: Sequence[int] | slice = ()
        self._pooled: Sequence[int] | slice = ()
        self._batch: Batch | None = None
        self._layout: Tensor | None = None
        self._roots: list[Tensor] = []
        self._uses = ModuleUses(network, {*self._index, *self.rerun})

    @abstractmethod
    def receive(self, index: int, gradients: Tensor, uses: int) -> None:
        """Receive the gradients of e examples with respect to one parameter. Shape: [e, out, in].

        A module that is used several times in a forward calls this once per use, each time with a part of the gradient;
        `uses` is the number of uses. A use that the loss does not depend on makes no call.
        """

    def receive_sum(self, index: int, total: Tensor) -> None:
        """Receive the sum of the gradients of all pooled examples with respect to one parameter. Shape: [out, in]."""
        raise AssertionError(f"{type(self).__name__} pools no examples")

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record the inputs of the adapter's layers during a forward."""
        self._roots = []
        hooks = self._uses.hooks()
        hooks += [module.register_forward_hook(self._record) for module in self._index]
        hooks += [module.register_forward_hook(self._record_call, with_kwargs=True) for module in self.rerun]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @contextmanager
    def receiving(self, batch: Batch, examples: Sequence[int], pooled: Sequence[int] = ()) -> Iterator[None]:
        """Receive the gradients of `examples` of `batch`, in this order, during a backward.

        For `pooled` examples only the sum is received, which is cheaper.
        """
        self._examples, self._pooled, self._batch = _as_slice(examples), _as_slice(pooled), batch
        self._layout = _token_layout(batch) if batch.packed else None
        try:
            yield
        finally:
            self._examples, self._pooled, self._batch, self._layout = (), (), None, None

    def backward(self, outputs: Sequence[Tensor], gradients: Sequence[Tensor] | None = None) -> None:
        """Run a backward that computes per-example gradients only, not the parameters' own ones at the same cost again.

        `gradients` are those at `outputs`; a single loss needs none. The backward ends at the outputs of the first
        recorded layers, so it still passes all of them. The graph is retained for another backward.
        """
        torch.autograd.grad(outputs, self._roots, gradients, retain_graph=True, allow_unused=True)

    def _record(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        if output.requires_grad:
            values, uses = inputs[0].detach(), self._uses.current
            uses[module] += 1
            # The hook reads the count in the backward, when all uses of the forward are known.
            output.register_hook(lambda gradient: self._add(self._index[module], values, gradient, uses[module]))
            # A layer whose input needs no gradient is where the backward may end.
            if not inputs[0].requires_grad:
                self._roots.append(output)

    def _add(self, index: int, values: Tensor, gradient: Tensor, uses: int) -> None:
        """Compute and hand on the gradients of one linear layer from its input `values` and output `gradient`."""
        if not self._examples and not self._pooled:
            return
        self.received.add(index)
        values, gradient = self._by_example(values), self._by_example(gradient)
        # Results are float32 at least: norms and sums of squares need more than half precision.
        values, wide = values.to(gradient.dtype), torch.promote_types(gradient.dtype, torch.float32)
        if self._examples:
            at_outputs, at_inputs = gradient[self._examples], values[self._examples]
            self.receive(index, torch.einsum("eto,eti->eoi", at_outputs, at_inputs).to(wide), uses)
        if self._pooled:
            at_outputs, at_inputs = gradient[self._pooled].flatten(0, 1), values[self._pooled].flatten(0, 1)
            self.receive_sum(index, (at_outputs.T @ at_inputs).to(wide))

    @property
    def _current(self) -> Batch:
        """The batch of the backward under way. Hooks hand on nothing outside `receiving`, which sets it."""
        return present(self._batch, "the batch whose gradients are received")

    def _by_example(self, values: Tensor) -> Tensor:
        """Group values by text: [rows, length, ..., width] -> [texts, tokens, width], padded with zeros if packed.

        Rows and length may come flattened into one dimension. Any other layout gives NaN, because its values cannot be
        assigned to examples: the probe then finds the layer before learning.
        """
        rows, length = self._current.ids.shape
        if values.shape[:3] == (rows, 1, length):
            values = values.squeeze(1)
        elif values.shape[:2] != (rows, length) or values.ndim < 3:
            if values.shape[0] != rows * length:
                return values.new_full((len(self._current.texts), 1, values.shape[-1]), torch.nan)
            values = values.unflatten(0, (rows, length))
        if self._layout is not None:
            tokens = values.flatten(0, 1)
            # The layout has -1 for padding, which selects the row of zeros that is appended here.
            values = torch.cat([tokens, tokens.new_zeros(1, *tokens.shape[1:])])[self._layout]
        return values.flatten(1, -2)

    def _record_call(self, module: nn.Module, inputs: Any, named: dict[str, Any], output: Any) -> Any:
        """Record a call of a module that is rerun, and replace its outputs by copies.

        A hook on a copy sees the gradients from outside of the module, and none from inside.
        """
        outputs = output if isinstance(output, tuple) else (output,)
        # Detached: a rerun only needs gradients at parameters, and must not reach back into the graph of the forward.
        arguments = [value.detach() if isinstance(value, Tensor) else value for value in (*inputs, *named.values())]
        needs_gradient = any(isinstance(value, Tensor) and value.requires_grad for value in (*inputs, *named.values()))
        call = _Call(module, len(inputs), tuple(named), _autocast_now(outputs))
        copies, uses = [], self._uses.current
        for i, value in enumerate(outputs):
            if isinstance(value, Tensor) and value.requires_grad:
                value = value.clone()
                value.register_hook(partial(self._add_by_rerun, call, uses, arguments, i))
                uses[module] += 1
                if not needs_gradient:
                    self._roots.append(value)
            copies.append(value)
        return tuple(copies) if isinstance(output, tuple) else copies[0]

    def _add_by_rerun(
        self,
        call: _Call,
        uses: Counter[nn.Module],
        arguments: Sequence[Any],
        output: int,
        gradient: Tensor,
    ) -> None:
        """Run the tokens of each example through the module again, those of all pooled examples together."""
        if self._batch is None or not (self._examples or self._pooled):
            return
        indices = self.rerun[call.module]
        parameters = [self.parameters[index] for index in indices]
        tokens = self._batch.token.split([len(text) for text in self._batch.texts])

        def gradients_of(own: Tensor) -> list[Tensor]:
            parts = [self._at_tokens(value, own) for value in (*arguments, gradient)]
            return [each.to(wide) for each in call.gradients(parts[:-1], output, parts[-1], parameters)]

        numbers = range(len(tokens))
        wide = torch.promote_types(gradient.dtype, torch.float32)
        by_example = [gradients_of(tokens[i]) for i in _select(numbers, self._examples)]
        for position, index in enumerate(indices):
            self.received.add(index)
            if by_example:
                self.receive(index, torch.stack([own[position] for own in by_example]), uses[call.module])
        if self._pooled:
            total = gradients_of(torch.cat([tokens[i] for i in _select(numbers, self._pooled)]))
            for index, part in zip(indices, total, strict=True):
                self.receive_sum(index, part)

    def _at_tokens(self, value: Any, own: Tensor) -> Any:
        """Select the entries of a tensor at the tokens `own`, positions in the flattened rows.

        Arguments without a token dimension are returned as they are.
        """
        shape = tuple(self._current.ids.shape)
        if not isinstance(value, Tensor) or not value.ndim:
            return value
        if value.shape[0] == shape[0] * shape[1]:
            return value[own]
        return value.flatten(0, 1)[own][None] if value.shape[:2] == shape and value.ndim > 2 else value


class GradientRows(PerExampleGradients):
    """Collects per-example gradients as the rows of a matrix over the adapter. Several backwards add up."""

    @contextmanager
    def rows(
        self, batch: Batch, examples: Sequence[int], pooled: Sequence[int] = ()
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the matrix of per-example gradients and the sum over pooled examples; backwards inside fill both.

        Both are zero at first. Shapes: [examples, adapter], [adapter].
        """
        sizes, first = [parameter.numel() for parameter in self.parameters], self.parameters[0]
        rows, total = first.new_zeros(len(examples), sum(sizes)).detach(), first.new_zeros(sum(sizes)).detach()
        self._parts, self._totals = rows.split(sizes, dim=1), total.split(sizes)
        with self.receiving(batch, examples, pooled):
            yield rows, total
        # The matrix may take much memory: it lives as long as the caller keeps it, not as long as this object.
        del self._parts, self._totals

    def receive(self, index: int, gradients: Tensor, uses: int) -> None:
        self._parts[index].add_(gradients.flatten(1))

    def receive_sum(self, index: int, total: Tensor) -> None:
        self._totals[index].add_(total.flatten())


def _wrapped_modules(network: nn.Module, wanted: Collection[int]) -> Iterator[tuple[nn.Module, list[nn.Parameter]]]:
    """Yield the modules that PEFT adapts through their parameters, each with the matrices of its LoRA pairs.

    PEFT nests one wrapper per adapted parameter; only the outermost is yielded. `wanted` holds ids of parameters.
    """
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


def _autocast_now(outputs: Sequence[Any]) -> AbstractContextManager[Any]:
    """Return the autocast that is active now. A backward, in which the rerun happens, runs without it."""
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
    autocast: AbstractContextManager[Any]

    def gradients(
        self, values: Sequence[Any], output: int, gradient: Tensor, parameters: Sequence[nn.Parameter]
    ) -> list[Tensor]:
        """Return the gradients of `parameters` for a `gradient` at output number `output`; zeros for unused ones."""
        named = dict(zip(self.keywords, values[self.num_positional :], strict=True))
        # This runs in a hook of a backward, where neither gradients nor autocast are on by themselves.
        with torch.enable_grad(), self.autocast:
            outputs = self.module(*values[: self.num_positional], **named)
        chosen = outputs[output] if isinstance(outputs, tuple) else outputs
        return list(torch.autograd.grad([chosen], parameters, [gradient], allow_unused=True, materialize_grads=True))


def _select(numbers: Sequence[int], which: Sequence[int] | slice) -> Sequence[int]:
    return numbers[which] if isinstance(which, slice) else which


def _as_slice(examples: Sequence[int]) -> Sequence[int] | slice:
    """Return a slice if the indices are consecutive, as they mostly are: slicing gives a view without a copy."""
    if examples and list(examples) == list(range(examples[0], examples[-1] + 1)):
        return slice(examples[0], examples[-1] + 1)
    return list(examples)


def _token_layout(batch: Batch) -> Tensor:
    """Return the position in the flattened rows of each token of each text, -1 for padding. Shape: [texts, longest]."""
    parts = list(batch.token.split([len(text) for text in batch.texts]))
    return nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=-1)
