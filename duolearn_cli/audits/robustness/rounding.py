"""Round-to-nearest quantisation of a model's weights as plain arithmetic, undone exactly afterwards.

This is weight rounding alone: weights take the values that an integer format could hold and are multiplied in the
model's own precision. No quantised kernel runs, and activations are not rounded.
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

# From here on one scale a row is usual; below, rows are cut into groups.
PER_CHANNEL_FROM = 8
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def round_to(weight: Tensor, bits: int, group: int | None) -> Tensor:
    """Round each weight to the nearest of 2^bits - 1 evenly spaced levels, symmetric about zero.

    q = clamp(round(w / s), -m, m) s with m = 2^(bits - 1) - 1 and s = max abs(w) / m over the weights that share a
    scale: a whole row with `group` None, else runs of `group` in a row; the last run of a row may be shorter. Halves go
    to the even level, as torch.round does. Shape and dtype: those of `weight` [outputs, inputs]; scales are float32.

    Raises ValueError for fewer than 2 bits, groups below 1, or a weight that is no matrix.
    """
    if bits < 2 or weight.ndim != 2 or (group is not None and group < 1):
        raise ValueError(
            f"bits={bits}, group={group}, shape={tuple(weight.shape)}: 2 bits, group 1, a matrix at least."
        )
    levels = 2 ** (bits - 1) - 1
    rows, width = weight.shape
    size = width if group is None else min(group, width)
    padding = -width % size
    runs = nn.functional.pad(weight.float(), (0, padding)).reshape(rows, -1, size)
    scale = runs.abs().amax(-1, keepdim=True) / levels
    # Where all are zero any scale does.
    scale = torch.where(scale > 0, scale, 1.0)
    rounded = (runs / scale).round().clamp(-levels, levels) * scale
    return rounded.reshape(rows, -1)[:, :width].to(weight.dtype)


@dataclass(frozen=True, eq=False)
class Rounding:
    """A weight of the model, what the adapter adds to it (None for nothing), and how it is rounded.

    `by_output` turns the weight so that its rows are output channels, which share a scale, and back; fused experts have
    a matrix each. None: the adapter is merged, and nothing is rounded.
    """

    weight: Tensor
    update: Callable[[], Tensor] | None
    by_output: Callable[[Tensor], Tensor] | None


@contextmanager
def rounded(model: LanguageModel, bits: int, group: int) -> Iterator[None]:
    """The model with the adapter merged into its weights and these rounded, for as long as it lasts.

    Rounded are linear layers and fused experts, and routers that carry the adapter. From 8 bits on a row (an output
    channel) has one scale, below it one for each `group` weights. Embeddings and the output head stay as they are, but
    for what the adapter adds to them. The old weights are put back from copies, bit for bit: subtracting what was
    merged would leave rounding errors.

    Raises:
        ModelError: the adapter has layers of which it is not known what they add to a weight.
    """
    saved: list[tuple[Tensor, Tensor]] = []
    per_row = bits >= PER_CHANNEL_FROM
    try:
        with torch.no_grad(), model.without_adapter(), model.without_frozen_cache():
            for one in weights(model):
                weight = one.weight
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
    """All weights that are merged or rounded: the adapted ones, and the decoder's linear layers and fused experts.

    Raises:
        ModelError: see `rounded`.
    """
    found: dict[int, Rounding] = {}
    for module in model.network.modules():
        if isinstance(module, lora.ParamWrapper):
            # PEFT swaps the sides of its pairs where the rows of each expert's matrix are outputs.
            has_outputs_first = getattr(module, "_did_swap_in_out_features")  # noqa: B009 (PEFT shows it nowhere else)
            turn = _same if module.get_param().ndim == 2 or has_outputs_first else _transposed
            found[id(module.get_param())] = _adapted(module, module.get_param(), turn)
        elif isinstance(module, lora.Linear | lora.Embedding | lora.Conv1d | lora.Conv2d | lora.Conv3d):
            base = module.get_base_layer()
            turn = _turn(base) if isinstance(module, lora.Linear) else None
            weight = cast(Tensor, base.weight)
            found[id(weight)] = _adapted(module, weight, turn)
        elif isinstance(module, BaseTunerLayer):
            others = ",".join(name for name in ATTACKS if name != "quantise")
            raise ModelError(
                "audit.robustness.attacks=quantise: what the adapter adds to a layer is not known for "
                f"{type(module.get_base_layer()).__name__}. Mend: audit.robustness.attacks=[{others}]."
            )
    for owner, module in model.decoder.named_modules():
        for name, weight in module.named_parameters(recurse=False):
            if id(weight) in found or ".lora_" in owner:
                continue
            if isinstance(module, nn.Linear | Conv1D) and name == "weight":
                found[id(weight)] = Rounding(weight.data, None, _turn(module))
            elif weight.ndim == 3 and min(weight.shape) > 1 and not isinstance(module, CONVOLUTIONS):
                turn = _transposed if getattr(module, "is_transposed", False) else _same
                found[id(weight)] = Rounding(weight.data, None, turn)
    return list(found.values())


def _adapted(module: Any, weight: Tensor, turn: Callable[[Tensor], Tensor] | None) -> Rounding:
    # Made when it is asked for: those of all modules together are as large as the model.
    return Rounding(weight.data, partial(module.get_delta_weight, "default"), turn)


def _turn(layer: nn.Module) -> Callable[[Tensor], Tensor]:
    """Conv1D keeps inputs in rows."""
    return _transposed if isinstance(layer, Conv1D) else _same


def _same(weight: Tensor) -> Tensor:
    return weight


def _transposed(weight: Tensor) -> Tensor:
    return weight.transpose(-1, -2)
