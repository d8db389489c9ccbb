"""The adapter values that unlearning may change ("coordinates"), as one flat parameter, and their place in the model.

One flat vector lets the constraint, the sparsity and the privacy mechanism be plain vector operations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from duolearn_cli.model.adapter_names import Place
from duolearn_cli.model.distributed import local, shard_like


class Coordinates:
    """The flat parameter that an optimiser moves, and the adapter parameters that it stands for.

    Coordinates are ordered by layer, then by module, whatever the order of `named`: blocks of one layer or module are
    contiguous. If parameters are sharded, a process holds the coordinates of its own shards.

    Args:
        named: the adapter's parameters by full name.
        index: the coordinates that may change, out of all adapter coordinates [n]; None: all.
        experts: the number of experts in each fused module, by its full name.

    Attributes:
        values: the values that may change [n]; `write` copies them into the model.
        parameters: the adapter's parameters, in the order of the coordinates.
        places: layer, module and matrix of each parameter.
        reached: the parameters that had a gradient in some step so far.
    """

    def __init__(
        self,
        named: Sequence[tuple[str, nn.Parameter]],
        index: Tensor | None = None,
        experts: Mapping[str, int] | None = None,
    ) -> None:
        placed = [(Place.of(name), parameter) for name, parameter in named]
        owners = list(dict.fromkeys(place.owner for place, _ in placed))
        placed.sort(key=lambda pair: (pair[0].layer, owners.index(pair[0].owner)))
        self.places = [place for place, _ in placed]
        self.parameters = [parameter for _, parameter in placed]
        self._shards = [local(parameter.detach()) for parameter in self.parameters]
        # `index` counts within the ordered vector of all adapter coordinates, and a checkpoint stores it.
        self.index, self._experts = index, experts or {}
        self.reached: list[nn.Parameter] = []
        # Values that may not change stay here, because `write` copies whole parameters into the model.
        self._all = flatten(self._shards)
        self.values = nn.Parameter(self.take(self._all).clone())

    def take(self, vector: Tensor) -> Tensor:
        """Select the coordinates that may change. Shapes: [..., adapter] -> [..., n]."""
        return vector if self.index is None else vector[..., self.index]

    def gradient(self) -> Tensor:
        """Return the parameters' gradients as one vector [n] and clear them. A missing gradient counts as zero."""
        shards = [
            torch.zeros_like(shard) if parameter.grad is None else local(parameter.grad)
            for parameter, shard in zip(self.parameters, self._shards, strict=True)
        ]
        # A parameter without a gradient in one step may get one later: an expert is reached only if a token goes there.
        if len(self.reached) < len(self.parameters):
            self.mark(i for i, parameter in enumerate(self.parameters) if parameter.grad is not None)
        for parameter in self.parameters:
            parameter.grad = None
        return self.take(flatten(shards))

    def mark(self, indices: Iterable[int]) -> None:
        """Record that the parameters at these indices had a gradient."""
        # By identity, because `in` on tensors would compare them element by element.
        known = {id(parameter) for parameter in self.reached}
        self.reached += [self.parameters[i] for i in indices if id(self.parameters[i]) not in known]

    @torch.no_grad()
    def write(self) -> None:
        """Copy the values into the model."""
        if self.index is None:
            self._all.copy_(self.values)
        else:
            self._all[self.index] = self.values
        parts = self._all.split([shard.numel() for shard in self._shards])
        for shard, part in zip(self._shards, parts, strict=True):
            shard.copy_(part.view_as(shard))

    def sizes(self) -> list[int]:
        """Return the number of coordinates in each parameter."""
        numel = torch.tensor([shard.numel() for shard in self._shards])
        if self.index is None:
            return numel.tolist()
        owner = torch.repeat_interleave(torch.arange(len(numel)), numel)
        return torch.bincount(owner[self.index.cpu()], minlength=len(numel)).tolist()

    def blocks(self, scope: str) -> dict[object, int]:
        """Return the sizes of consecutive blocks of coordinates: all in one (``global``), by ``layer`` or ``module``.

        Layer -1 holds the modules outside of numbered layers.
        """
        sizes: dict[object, int] = {}
        for place, size in zip(self.places, self.sizes(), strict=True):
            key = {"global": "all", "layer": place.layer, "module": place.owner}[scope]
            sizes[key] = sizes.get(key, 0) + size
        return sizes

    def units(self, unit: str) -> Tensor:
        """Return the unit number of every adapter coordinate [adapter]. A unit is chosen or left out as a whole.

        ``rank``: a row of A with its column of B, in one expert. ``module``: a LoRA pair. ``layer``: all of a layer.
        """
        modules = {key: i for i, key in enumerate(dict.fromkeys(p.owner for p in self.places))}
        layers = {key: i for i, key in enumerate(dict.fromkeys(p.layer for p in self.places))}
        first: dict[str, int] = {}
        parts, count = [], 0
        for place, parameter in zip(self.places, self.parameters, strict=True):
            module, shape = modules[place.owner], parameter.shape
            if unit == "rank":
                by_row = place.matrix == "lora_A"
                rank = shape[0 if by_row else 1]
                if place.owner not in first:
                    first[place.owner] = count
                    count += rank
                experts = self._experts.get(place.owner, 1)
                # PEFT orders the rows of A by expert, then rank, but the columns of B by rank, then expert.
                order = torch.arange(rank).view(experts, -1)
                numbers = first[place.owner] + (order if by_row else order.T).reshape(-1)
                number = (numbers[:, None] if by_row else numbers[None]).expand(shape)
            else:
                number = torch.full(shape, module if unit == "module" else layers[place.layer])
            parts.append(local(shard_like(number.contiguous(), parameter)).reshape(-1))
        return torch.cat(parts).to(self._all.device)


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    """Concatenate the values of tensors into one flat vector, a copy."""
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
