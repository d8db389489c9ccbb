"""What unlearning changed in the weights: adapter values that differ, and how far each adapted matrix moved."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from duolearn_cli.model.adapter_files import CONFIG_FILE
from duolearn_cli.model.adapter_names import Place


@dataclass(frozen=True, slots=True)
class Change:
    """Of one adapted matrix: its layer (-1 outside numbered layers), its module's name, values that differ, norm."""

    layer: int
    module: str
    parameters: int
    norm: float


def changes(
    before: Mapping[str, Tensor], after: Mapping[str, Tensor], scale: float, experts: Mapping[str, int] | None = None
) -> list[Change]:
    """The change of every adapted matrix between two adapters of the same shape, in the order of their names.

    Tensors go by PEFT's names, ``...layers.3.self_attn.q_proj.lora_A.weight`` say; `scale` is LoRA's factor of B A.
    `experts` says how many matrices the pair of a fused module stands for, by the module's full name: its change is
    that of all of them. Shapes: A [rank, in], B [out, rank]; of n experts A [n rank, in], expert after expert, and B
    [out, rank n], the experts of each rank together. Raises KeyError where an adapter lacks a matrix of the other.
    """
    found = []
    for a, b in _pairs(before, after):
        old_a, old_b, new_a, new_b = before[a], before[b], after[a], after[b]
        place = Place.of(a)
        different = int((new_a != old_a).sum() + (new_b != old_b).sum())
        count = (experts or {}).get(place.owner, 1)
        old, new = _by_expert(old_a, old_b, count), _by_expert(new_a, new_b, count)
        norms = [product_change_norm(*first, *last) for first, last in zip(old, new, strict=True)]
        norm = abs(scale) * (norms[0] if count == 1 else math.hypot(*norms))
        found.append(Change(place.layer, place.module, different, norm))
    return found


def _pairs(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Yield the names of each adapted module's A and B."""
    for name in dict.fromkeys([*before, *after]):
        owner, mark, rest = name.partition(".lora_")
        if mark and (matrix := re.match(r"(embedding_)?A", rest)):
            yield name, f"{owner}{mark}{matrix[1] or ''}B{rest[matrix.end() :]}"


def _by_expert(a: Tensor, b: Tensor, count: int) -> list[tuple[Tensor, Tensor]]:
    """Each expert's A [rank, in] and B [out, rank], cut out of those of all."""
    rank = a.shape[0] // count
    pairs = zip(a.view(count, rank, -1), b.view(-1, rank, count).permute(2, 0, 1), strict=True)
    return [(a, b)] if count == 1 else list(pairs)


def product_change_norm(old_a: Tensor, old_b: Tensor, new_a: Tensor, new_b: Tensor) -> float:
    """Frobenius norm of ``B1 A1 - B0 A0``, by way of two 2 rank x 2 rank Gram matrices in float64.

    The difference is ``L R`` with ``L = [B1, B1 - B0]`` [out, 2 rank] and ``R = [A1 - A0; A0]`` [2 rank, in], and
    ``|L R|^2 = sum (L'L) * (R R')``. With ``[B1, -B0]`` and ``[A1; A0]`` instead, a small change would be the
    difference of large numbers.
    """
    a, b, new_a, new_b = (tensor.double() for tensor in (old_a, old_b, new_a, new_b))
    left, right = torch.cat([new_b, new_b - b], 1), torch.cat([new_a - a, a], 0)
    # The sum may come out below zero by rounding.
    return math.sqrt(max(0.0, float(((left.T @ left) * (right @ right.T)).sum())))


def summarise(found: list[Change], num_base_parameters: int) -> dict[str, Any]:
    """As in metrics.json: for the whole, by layer, and by module within a layer; norms add up as squares."""
    layers = []
    for layer in sorted({change.layer for change in found}):
        inside = [change for change in found if change.layer == layer]
        modules = {name: [c for c in inside if c.module == name] for name in dict.fromkeys(c.module for c in inside)}
        by_module = {name: _total(part) for name, part in modules.items()}
        layers.append({"layer": layer, **_total(inside), "modules": by_module})
    total = _total(found)
    return {**total, "fraction": total["parameters"] / num_base_parameters, "layers": layers}


def _total(found: list[Change]) -> dict[str, Any]:
    norm = math.sqrt(sum(change.norm**2 for change in found))
    return {"parameters": sum(change.parameters for change in found), "norm": norm}


def read_changes(before: Path, after: Path, experts: Mapping[str, int] | None = None) -> list[Change]:
    """The changes between two adapters' safetensors files; the scale is the one of `after`'s configuration."""
    config = json.loads((after.parent / CONFIG_FILE).read_text(encoding="utf-8"))
    return changes(load_file(before), load_file(after), lora_scale(config), experts)


def lora_scale(config: Mapping[str, Any]) -> float:
    """LoRA's factor of B A from an adapter_config.json: alpha / r, or alpha / sqrt(r) with ``use_rslora``."""
    rank = config["r"]
    return config["lora_alpha"] / (math.sqrt(rank) if config.get("use_rslora") else rank)
