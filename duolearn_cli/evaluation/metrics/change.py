"""What unlearning changed in the weights: how many adapter values differ, and how far each adapted matrix moved."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from duolearn_cli.config.typed_json import Types, read_object
from duolearn_cli.model.adapter_files import CONFIG_FILE
from duolearn_cli.model.adapter_names import Place


@dataclass(frozen=True, slots=True)
class Change:
    """The change of one adapted matrix.

    Attributes:
        layer: the number of its layer, -1 outside the numbered layers.
        module: the name of its module within the layer.
        parameters: how many adapter values differ.
        norm: the Frobenius norm of the change of the effective weight ``scale * B A``.
    """

    layer: int
    module: str
    parameters: int
    norm: float


def changes(
    before: Mapping[str, Tensor], after: Mapping[str, Tensor], scale: float, experts: Mapping[str, int] | None = None
) -> list[Change]:
    """The change of every adapted matrix between two adapters of the same shape, in the order of their names.

    Args:
        before: an adapter's tensors by PEFT's names, such as ``...layers.3.self_attn.q_proj.lora_A.weight``. Shapes: A
            [rank, in], B [out, rank]. For a fused module with n experts: A [n * rank, in], one expert after the other;
            B [out, rank * n], the experts of each rank together.
        after: the other adapter.
        scale: LoRA's factor of B A.
        experts: the number of experts of each fused module, by its full name. Such a module's change is that of all its
            experts together.

    Raises:
        KeyError: an adapter lacks a matrix that the other has.
    """
    matrices = []
    for a, b in _pairs(before, after):
        old_a, old_b, new_a, new_b = before[a], before[b], after[a], after[b]
        place = Place.of(a)
        different = int((new_a != old_a).sum() + (new_b != old_b).sum())
        count = (experts or {}).get(place.owner, 1)
        old, new = _by_expert(old_a, old_b, count), _by_expert(new_a, new_b, count)
        norms = [product_change_norm(*first, *last) for first, last in zip(old, new, strict=True)]
        norm = abs(scale) * (norms[0] if count == 1 else math.hypot(*norms))
        matrices.append(Change(place.layer, place.module, different, norm))
    return matrices


def _pairs(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Yield the names of the A and the B tensor of each adapted module, in either adapter."""
    for name in dict.fromkeys([*before, *after]):
        owner, mark, rest = name.partition(".lora_")
        if mark and (matrix := re.match(r"(embedding_)?A", rest)):
            yield name, f"{owner}{mark}{matrix[1] or ''}B{rest[matrix.end() :]}"


def _by_expert(a: Tensor, b: Tensor, count: int) -> list[tuple[Tensor, Tensor]]:
    """Split a fused pair into that of each expert.

    Shapes: A [n * rank, in], B [out, rank * n] -> n pairs of [rank, in] and [out, rank].
    """
    rank = a.shape[0] // count
    pairs = zip(a.view(count, rank, -1), b.view(-1, rank, count).permute(2, 0, 1), strict=True)
    return [(a, b)] if count == 1 else list(pairs)


def product_change_norm(old_a: Tensor, old_b: Tensor, new_a: Tensor, new_b: Tensor) -> float:
    """The Frobenius norm of ``B1 A1 - B0 A0``, computed in float64 from Gram matrices of 2 rank x 2 rank.

    The difference equals ``L R`` with ``L = [B1, B1 - B0]`` [out, 2 rank] and ``R = [A1 - A0; A0]`` [2 rank, in], and
    ``|L R|^2 = sum of (L'L) * (R R')``, elementwise. The product itself, [out, in], is never formed.

    Shapes: A [rank, in], B [out, rank], old and new -> scalar.
    """
    a, b, new_a, new_b = (tensor.double() for tensor in (old_a, old_b, new_a, new_b))
    # With [B1, -B0] and [A1; A0], a small change would be the difference of large numbers, and lose its digits.
    left, right = torch.cat([new_b, new_b - b], 1), torch.cat([new_a - a, a], 0)
    # Rounding may make the sum slightly negative.
    return math.sqrt(max(0.0, float(((left.T @ left) * (right @ right.T)).sum())))


LORA: Mapping[str, Types] = {"r": (int,), "lora_alpha": (int, float), "use_rslora": (bool, type(None))}


def summarise(matrices: list[Change], num_base_parameters: int) -> dict[str, Any]:
    """The `change` section of metrics.json: totals of the model, of each layer, and of each module in a layer.

    The norm of a group is the root of the sum of its squared norms. `fraction` is relative to `num_base_parameters`.
    """
    layers = []
    for layer in sorted({change.layer for change in matrices}):
        inside = [change for change in matrices if change.layer == layer]
        modules = {name: [c for c in inside if c.module == name] for name in dict.fromkeys(c.module for c in inside)}
        by_module = {name: _total(part) for name, part in modules.items()}
        layers.append({"layer": layer, **_total(inside), "modules": by_module})
    total = _total(matrices)
    return {**total, "fraction": total["parameters"] / num_base_parameters, "layers": layers}


def _total(matrices: list[Change]) -> dict[str, Any]:
    norm = math.sqrt(sum(change.norm**2 for change in matrices))
    return {"parameters": sum(change.parameters for change in matrices), "norm": norm}


def read_changes(before: Path, after: Path, experts: Mapping[str, int] | None = None) -> list[Change]:
    """The changes between two adapters' safetensors files; LoRA's scale comes from the configuration beside `after`."""
    config = read_object(after.parent / CONFIG_FILE, LORA, needed=("r", "lora_alpha"))
    return changes(load_file(before), load_file(after), lora_scale(config), experts)


def lora_scale(config: Mapping[str, Any]) -> float:
    """LoRA's factor of B A from an adapter_config.json: alpha / r, or alpha / sqrt(r) with ``use_rslora``.

    rsLoRA: Kalajdzievski 2023, "A rank stabilization scaling factor for fine-tuning with LoRA".
    """
    rank = config["r"]
    return config["lora_alpha"] / (math.sqrt(rank) if config.get("use_rslora") else rank)
