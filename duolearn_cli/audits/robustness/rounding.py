"""Simulated round-to-nearest quantisation of a model's weights, restored exactly afterwards.

Only weights are rounded: they take values that an integer format could hold, and are multiplied in the model's own
precision. No quantised kernel runs, and activations are not rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from peft.tuners.lora import layer as lora
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from duolearn_cli.config.robustness import ATTACKS
from duolearn_cli.errors import ModelError
from duolearn_cli.model.language_model import LanguageModel

# From this many bits on, a row (an output channel) shares one scale, as is usual. Below, rows are cut into groups.
PER_CHANNEL_FROM = 8
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def round_to(weight: Tensor, bits: int, group: int | None) -> Tensor:
    """Round each weight to the nearest of 2^bits - 1 evenly spaced levels, symmetric about zero.

    ``q = clamp(round(w / s), -m, m) * s`` with ``m = 2^(bits - 1) - 1`` and ``s = max |w| / m`` over the weights that
    share a scale. These are a whole row if `group` is None, else runs of `group` weights in a row; the last run of a
    row may be shorter. Halves are rounded to the even level, as torch.round does. Scales are computed in float32.

    Shapes: weight [outputs, inputs] -> the same, in the same dtype.

    Raises:
        ValueError: `bits` is below 2, `group` below 1, or `weight` is not a matrix.
    """
    if bits < 2 or weight.ndim != 2 or (group is not None and group < 1):
        raise ValueError(
            f"bits={bits}, group={group}, shape={tuple(weight.shape)}: needs at least 2 bits, a group of at least 1, "
            "and a matrix."
        )
    levels = 2 ** (bits - 1) - 1
    rows, width = weight.shape
    size = width if group is None else min(group, width)
    padding = -width % size
    runs = nn.functional.pad(weight.float(), (0, padding)).reshape(rows, -1, size)
    scale = runs.abs().amax(-1, keepdim=True) / levels
    # A run of zeros has scale 0, and must not be divided by it; with any other scale it stays zero.
    scale = torch.where(scale > 0, scale, 1.0)
    rounded = (runs / scale).round().clamp(-levels, levels) * scale
    return rounded.reshape(rows, -1)[:, :width].to(weight.dtype)


@dataclass(frozen=True, eq=False)
class Rounding:
    """A weight of the model, and how it is merged and rounded.

    Attributes:
        weight: the base weight, changed in place.
        update: computes what the adapter adds to the weight; None if the adapter does not touch it.
        by_output: turns the weight so that its rows are output channels, which share a scale, and is its own inverse.
            For fused experts, which have one matrix each, it turns every matrix. None: the adapter is merged, nothing
            is rounded.
    """

    weight: Tensor
    update: Callable[[], Tensor] | None
    by_output: Callable[[Tensor], Tensor] | None


@contextmanager
def rounded(model: LanguageModel, bits: int, group: int) -> Iterator[None]:
    """Merge the adapter into the model's weights and round them, within the block; restore the weights on leaving it.

    Linear layers, fused experts and adapted routers are rounded. From 8 bits on, a row (an output channel) has one
    scale; below, each `group` weights of a row have one. Embeddings and the output head are not rounded, but get what
    the adapter adds to them.

    Raises:
        ModelError: the adapter has a kind of layer whose contribution to the weight is not known.
    """
    saved: list[tuple[Tensor, Tensor]] = []
    per_row = bits >= PER_CHANNEL_FROM
    try:
        with torch.no_grad(), model.without_adapter(), model.without_frozen_cache():
            for one in weights(model):
                weight = one.weight
                # Restored from a copy: subtracting the adapter's contribution again would leave rounding errors.
                saved.append((weight, weight.clone()))
                merged = weight.float() if one.update is None else weight.float() + one.update().float()
                if one.by_output is not None:
                    rows = one.by_output(merged)
                    result = round_to(rows.flatten(0, -2), bits, None if per_row else group)
                    merged = one.by_output(result.view(rows.shape))
                weight.copy_(merged)
            yield
    finally:
        for weight, before in saved:
            weight.copy_(before)


def weights(model: LanguageModel) -> list[Rounding]:
    """All weights to merge or round: the adapted ones, and the decoder's linear layers and fused experts.

    Raises:
        ModelError: see `rounded`.
    """
    # Keyed by identity: the second loop meets adapted weights again as plain ones, and each is rounded only once.
    by_id: dict[int, Rounding] = {}
    for module in model.network.modules():
        if isinstance(module, lora.ParamWrapper):
            # PEFT swaps the two sides of its LoRA pairs if the rows of each expert's matrix are outputs.
            has_outputs_first = getattr(module, "_did_swap_in_out_features")  # noqa: B009 (PEFT shows it nowhere else)
            turn = _same if module.get_param().ndim == 2 or has_outputs_first else _transposed
            by_id[id(module.get_param())] = _adapted(module, module.get_param(), turn)
        elif isinstance(module, lora.Linear | lora.Embedding | lora.Conv1d | lora.Conv2d | lora.Conv3d):
            base = module.get_base_layer()
            turn = _turn(base) if isinstance(module, lora.Linear) else None
            weight = cast(Tensor, base.weight)
            by_id[id(weight)] = _adapted(module, weight, turn)
        elif isinstance(module, BaseTunerLayer):
            others = ",".join(name for name in ATTACKS if name != "quantise")
            raise ModelError(
                "audit.robustness.attacks=quantise: it is not known what the adapter adds to a layer of type "
                f"{type(module.get_base_layer()).__name__}. Fix: audit.robustness.attacks=[{others}]."
            )
    for owner, module in model.decoder.named_modules():
        for name, weight in module.named_parameters(recurse=False):
            if id(weight) in by_id or ".lora_" in owner:
                continue
            if isinstance(module, nn.Linear | Conv1D) and name == "weight":
                by_id[id(weight)] = Rounding(weight.data, None, _turn(module))
            # Fused experts are parameters of three dimensions: expert, rows, columns.
            elif weight.ndim == 3 and min(weight.shape) > 1 and not isinstance(module, CONVOLUTIONS):
                turn = _transposed if getattr(module, "is_transposed", False) else _same
                by_id[id(weight)] = Rounding(weight.data, None, turn)
    return list(by_id.values())


def _adapted(module: Any, weight: Tensor, turn: Callable[[Tensor], Tensor] | None) -> Rounding:
    # Lazy: the updates of all modules together are as large as the model.
    return Rounding(weight.data, partial(module.get_delta_weight, "default"), turn)


def _turn(layer: nn.Module) -> Callable[[Tensor], Tensor]:
    """How to bring a layer's weight to rows of outputs. Conv1D keeps inputs in rows."""
    return _transposed if isinstance(layer, Conv1D) else _same


def _same(weight: Tensor) -> Tensor:
    return weight


def _transposed(weight: Tensor) -> Tensor:
    return weight.transpose(-1, -2)
