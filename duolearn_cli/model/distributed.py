"""Several processes in one unlearning step: what each of them holds, and what is summed over them."""

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
    """The processes of a run. `sharded`: each holds a part of every vector over the adapter, else the whole."""

    def __init__(self, accelerator: Accelerator, *, sharded: bool = False) -> None:
        self._accelerator, self.sharded = accelerator, sharded
        self.rank, self.count = accelerator.process_index, accelerator.num_processes

    def sum_items(self, values: Tensor) -> Tensor:
        """Sum over processes what each has from its own items."""
        return self._sum(values)

    def sum_gradients(self, values: Tensor) -> Tensor:
        """The same for a vector over the adapter; of sharded parameters the backward has summed it already."""
        return values if self.sharded else self._sum(values)

    def sum_parts(self, values: Tensor) -> Tensor:
        """Sum what each has from its own part of vectors over the adapter: inner products and counts."""
        return self._sum(values) if self.sharded else values

    def gather(self, values: Tensor) -> Tensor:
        """Concatenate vectors of any length over processes that hold parts."""
        if not self.sharded:
            return values
        length = int(self._accelerator.gather(torch.tensor([len(values)], device=values.device)).max())  # type: ignore[union-attr]
        padded = torch.cat([values, values.new_full((length - len(values),), -torch.inf)])
        return self._accelerator.gather(padded)  # type: ignore[return-value]

    def share(self, secret: bytes) -> bytes:
        """The main process's `secret`, at every process."""
        if self.count == 1:
            return secret
        held = torch.tensor(list(secret), dtype=torch.uint8, device=self._accelerator.device)
        return bytes(broadcast(held).tolist())  # type: ignore[union-attr]

    def wait(self) -> None:
        """Go on when all processes are here."""
        self._accelerator.wait_for_everyone()

    def _sum(self, values: Tensor) -> Tensor:
        return self._accelerator.reduce(values, reduction="sum")  # type: ignore[return-value]


def shard(decoder: Any, parameters: list[nn.Parameter], name: str) -> None:
    """Cut every layer of `decoder` over the processes with FSDP2. The adapter's `parameters` become DTensors.

    Layers are wrapped one by one, and neither embeddings nor output layer, which others reach directly.

    Raises:
        ModelError: the model keeps no list of layers, or the adapter has parameters outside of them.
    """
    layers = getattr(decoder, "layers", None)
    inside = {id(parameter) for layer in layers or () for parameter in layer.parameters()}
    if not inside or not all(id(parameter) in inside for parameter in parameters):
        raise ModelError(f"{name} cannot be cut by layers. Mend: runtime.sharding=none, or adapt linear layers only.")
    mesh = init_device_mesh(next(decoder.parameters()).device.type, (torch.distributed.get_world_size(),))
    for layer in layers or ():
        wrapped: FSDPModule = fully_shard(layer, mesh=mesh, reshard_after_forward=True)
        # Losses are shares of the step's: gradients are summed. Gloo knows no scaled sum, even by one.
        wrapped.set_gradient_divide_factor(1.0)
        wrapped.set_force_sum_reduction_for_comms(True)


def local(tensor: Tensor) -> Tensor:
    """This process's part of a tensor; all of one that is not cut."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def full(tensor: Tensor) -> Tensor:
    """The whole of a tensor; every process must ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def cut_like(values: Tensor, parameter: Tensor) -> Tensor:
    """`values`, which all processes hold alike, cut as `parameter` is."""
    if not isinstance(parameter, DTensor):
        return values
    values = values.to(parameter.device)
    return distribute_tensor(values, parameter.device_mesh, parameter.placements, src_data_rank=None)


def summed_like(values: Tensor, parameter: Tensor) -> Tensor:
    """The sum over processes of `values`, this process's part of it, cut as `parameter` is."""
    if not isinstance(parameter, DTensor):
        return values
    mesh = parameter.device_mesh
    return DTensor.from_local(values, mesh, [Partial()]).redistribute(mesh, parameter.placements).to_local()
