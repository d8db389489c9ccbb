"""Several processes in one unlearning step: what each of them holds, and which sums they exchange."""

from __future__ import annotations

from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, Partial, distribute_tensor

from duolearn_cli.errors import ModelError


class Processes:
    """The processes of a run.

    If `sharded`, each process holds a part (shard) of every vector over the adapter; otherwise each holds the whole.
    """

    def __init__(self, accelerator: Accelerator, *, sharded: bool = False) -> None:
        self._accelerator, self.sharded = accelerator, sharded
        self.rank, self.count = accelerator.process_index, accelerator.num_processes

    def sum_items(self, values: Tensor) -> Tensor:
        """Return the sum over processes of values that each has computed from its own items."""
        return self._sum(values)

    def sum_gradients(self, values: Tensor) -> Tensor:
        """Return the sum over processes of a gradient, a vector over the adapter."""
        # FSDP's backward has already summed the gradients of sharded parameters.
        return values if self.sharded else self._sum(values)

    def sum_parts(self, values: Tensor) -> Tensor:
        """Return the sum over processes of values from vectors over the adapter, such as inner products and counts.

        Without shards every process has the whole vectors, and thus already the sum.
        """
        return self._sum(values) if self.sharded else values

    def gather(self, values: Tensor) -> Tensor:
        """Concatenate the processes' vectors, which may differ in length. Gaps are filled with -inf."""
        if not self.sharded:
            return values
        length = int(self._accelerator.gather(torch.tensor([len(values)], device=values.device)).max())  # type: ignore[union-attr]
        # Padded, because gathering needs equal lengths. Callers look for the largest values, so -inf is never taken.
        padded = torch.cat([values, values.new_full((length - len(values),), -torch.inf)])
        return self._accelerator.gather(padded)  # type: ignore[return-value]

    def share(self, secret: bytes) -> bytes:
        """Return the main process's `secret` on every process."""
        if self.count == 1:
            return secret
        numbers = torch.tensor(list(secret), dtype=torch.uint8, device=self._accelerator.device)
        return bytes(broadcast(numbers).tolist())  # type: ignore[union-attr]

    def wait(self) -> None:
        """Wait until all processes have reached this call."""
        self._accelerator.wait_for_everyone()

    def _sum(self, values: Tensor) -> Tensor:
        return self._accelerator.reduce(values, reduction="sum")  # type: ignore[return-value]


def shard(decoder: Any, parameters: list[nn.Parameter], name: str) -> None:
    """Shard every layer of `decoder` over the processes with FSDP2. The adapter's `parameters` become DTensors.

    Layers are wrapped one by one. Embeddings and output layer are not wrapped, because other code reads their weights
    directly.

    Raises:
        ModelError: the model, called `name`, has no list of layers, or the adapter has parameters outside of them.
    """
    layers = getattr(decoder, "layers", None)
    inside = {id(parameter) for layer in layers or () for parameter in layer.parameters()}
    if not inside or not all(id(parameter) in inside for parameter in parameters):
        raise ModelError(
            f"{name} cannot be sharded by layers. Fix: runtime.sharding=none, or adapt only linear layers."
        )
    mesh = init_device_mesh(next(decoder.parameters()).device.type, (torch.distributed.get_world_size(),))
    for layer in layers or ():
        wrapped: FSDPModule = fully_shard(layer, mesh=mesh, reshard_after_forward=True)
        # Each process's loss is its share of the step's loss, so gradients are summed, not averaged. The sum is forced,
        # because FSDP would ask Gloo for a scaled sum (even with the factor one), which it does not have.
        wrapped.set_gradient_divide_factor(1.0)
        wrapped.set_force_sum_reduction_for_comms(True)


def local(tensor: Tensor) -> Tensor:
    """Return this process's shard of a tensor, or all of it if it is not sharded."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def full(tensor: Tensor) -> Tensor:
    """Return the whole of a tensor. If it is sharded, every process must call this."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def shard_like(values: Tensor, parameter: Tensor) -> Tensor:
    """Return `values`, which are the same on all processes, sharded like `parameter`."""
    if not isinstance(parameter, DTensor):
        return values
    values = values.to(parameter.device)
    # src_data_rank=None: all processes have the same values, so none has to send them.
    return distribute_tensor(values, parameter.device_mesh, parameter.placements, src_data_rank=None)


def sum_and_shard_like(values: Tensor, parameter: Tensor) -> Tensor:
    """Return this process's shard of the sum over processes of `values`, sharded like `parameter`."""
    if not isinstance(parameter, DTensor):
        return values
    mesh = parameter.device_mesh
    return DTensor.from_local(values, mesh, [Partial()]).redistribute(mesh, parameter.placements).to_local()
