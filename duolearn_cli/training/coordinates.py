"""The adapter coordinates that unlearning may change, as one flat parameter, and where in the model they lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from duolearn_cli.model.adapter_names import Place
from duolearn_cli.model.distributed import local, shard_like


class Coordinates:
    """`values` [n] is the parameter that an optimiser moves; `write` puts it into the model.

    Of sharded parameters it holds this process's part. Coordinates are in the order of layers, and in it of modules,
    whatever the order of `named`; `parameters` follows it, and `take` reduces vectors over all of them. `reached` are
    those parameters that ever had a gradient. `experts` says into how many matrices the pairs of fused experts are cut,
    by the module's full name.
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
        self.index, self._experts = index, experts or {}
        self.reached: list[nn.Parameter] = []
        self._all = flatten(self._shards)
        self.values = nn.Parameter(self.take(self._all).clone())

    def take(self, vector: Tensor) -> Tensor:
        """Of a vector over all adapter coordinates those that may change. Shapes: [..., adapter] -> [..., n]."""
        return vector if self.index is None else vector[..., self.index]

    def gradient(self) -> Tensor:
        """Take the parameters' gradients away and return them flat [n]; zero where there is none."""
        parts = [
            torch.zeros_like(shard) if parameter.grad is None else local(parameter.grad)
            for parameter, shard in zip(self.parameters, self._shards, strict=True)
        ]
        if len(self.reached) < len(self.parameters):
            self.mark(i for i, parameter in enumerate(self.parameters) if parameter.grad is not None)
        for parameter in self.parameters:
            parameter.grad = None
        return self.take(flatten(parts))

    def mark(self, places: Iterable[int]) -> None:
        """Note that the parameters of these numbers had a gradient."""
        known = {id(parameter) for parameter in self.reached}
        self.reached += [self.parameters[i] for i in places if id(self.parameters[i]) not in known]

    @torch.no_grad()
    def write(self) -> None:
        """Put the values into the model."""
        if self.index is None:
            self._all.copy_(self.values)
        else:
            self._all[self.index] = self.values
        parts = self._all.split([shard.numel() for shard in self._shards])
        for shard, part in zip(self._shards, parts, strict=True):
            shard.copy_(part.view_as(shard))

    def sizes(self) -> list[int]:
        """How many of the coordinates each parameter holds."""
        numel = torch.tensor([shard.numel() for shard in self._shards])
        if self.index is None:
            return numel.tolist()
        owner = torch.repeat_interleave(torch.arange(len(numel)), numel)
        return torch.bincount(owner[self.index.cpu()], minlength=len(numel)).tolist()

    def blocks(self, scope: str) -> dict[object, int]:
        """Runs of coordinates that belong together, in order: all (``global``), by ``layer`` or by ``module``."""
        found: dict[object, int] = {}
        for place, size in zip(self.places, self.sizes(), strict=True):
            key = {"global": "all", "layer": place.layer, "module": place.owner}[scope]
            found[key] = found.get(key, 0) + size
        return found

    def units(self, unit: str) -> Tensor:
        """A number for every adapter coordinate, alike for those that are chosen together. Shape: [adapter].

        ``rank``: a row of A with its column of B, of one expert; ``module``: a LoRA pair; ``layer``: all of a layer's.
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
                # PEFT keeps A's rows by expert, and B's columns by their number within an expert.
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
