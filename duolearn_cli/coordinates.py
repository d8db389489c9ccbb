"""The adapter coordinates that unlearning may change, as one flat parameter, and where in the model they lie."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor, nn

from duolearn_cli.parallel import cut_like, local


@dataclass(frozen=True, slots=True)
class Place:
    """Which matrix of which LoRA pair a parameter is. Models without numbered layers have layer -1."""

    layer: int
    module: str
    matrix: str

    @classmethod
    def of(cls, name: str) -> Place:
        """Of a parameter called ``...layers.3.self_attn.q_proj.lora_A.default.weight``, say."""
        number = re.search(r"\.(\d+)\.", name)
        owner, _, matrix = name.partition(".lora_")
        return cls(int(number[1]) if number else -1, owner.rpartition(".")[2], f"lora_{matrix[:1]}")


class Coordinates:
    """`values` [n] is the parameter that an optimiser moves; `write` puts it into the model.

    Of sharded parameters it holds this process's part. Vectors over all adapter coordinates are reduced by `take`.
    """

    def __init__(self, named: Sequence[tuple[str, nn.Parameter]], index: Tensor | None = None) -> None:
        self._parameters = [parameter for _, parameter in named]
        self._shards = [local(parameter.detach()) for parameter in self._parameters]
        self.places = [Place.of(name) for name, _ in named]
        self.index = index
        self._all = flatten(self._shards)
        self.values = nn.Parameter(self.take(self._all).clone())

    def take(self, vector: Tensor) -> Tensor:
        """Of a vector over all adapter coordinates those that may change. Shapes: [..., adapter] -> [..., n]."""
        return vector if self.index is None else vector[..., self.index]

    def gradient(self) -> Tensor:
        """Take the parameters' gradients away and return them flat [n]; zero where there is none."""
        parts = [
            torch.zeros_like(shard) if parameter.grad is None else local(parameter.grad)
            for parameter, shard in zip(self._parameters, self._shards, strict=True)
        ]
        for parameter in self._parameters:
            parameter.grad = None
        return self.take(flatten(parts))

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
        keys = {
            "global": lambda place: "all",
            "layer": lambda place: place.layer,
            "module": lambda place: (place.layer, place.module),
        }
        placed = zip(map(keys[scope], self.places), self.sizes(), strict=True)
        found: dict[object, int] = {}
        for key, run in groupby(placed, key=lambda pair: pair[0]):
            found[key] = found.get(key, 0) + sum(size for _, size in run)
        return found

    def units(self, unit: str) -> Tensor:
        """A number for every adapter coordinate, alike for those that are chosen together. Shape: [adapter].

        ``rank``: a row of A with its column of B; ``module``: a LoRA pair; ``layer``: all pairs of a layer.
        """
        modules = {key: i for i, key in enumerate(dict.fromkeys((p.layer, p.module) for p in self.places))}
        layers = {key: i for i, key in enumerate(dict.fromkeys(p.layer for p in self.places))}
        parts = []
        for place, parameter in zip(self.places, self._parameters, strict=True):
            module, shape = modules[place.layer, place.module], parameter.shape
            if unit == "rank":
                by_row = place.matrix == "lora_A"
                rank = shape[0 if by_row else 1]
                numbers = module * rank + torch.arange(rank)
                number = (numbers[:, None] if by_row else numbers[None]).expand(shape)
            else:
                number = torch.full(shape, module if unit == "module" else layers[place.layer])
            parts.append(local(cut_like(number.contiguous(), parameter)).reshape(-1))
        return torch.cat(parts).to(self._all.device)


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    """Concatenate the values of tensors into one flat vector, a copy."""
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
