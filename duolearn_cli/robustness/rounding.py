"""Round-to-nearest quantisation of a model's linear layers as plain arithmetic, undone exactly afterwards.

This is weight rounding alone: weights take the values that an integer format could hold and are multiplied in the
model's own precision. No quantised kernel runs, and activations are not rounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from duolearn_cli.model import LanguageModel

# From here on one scale a row is usual; below, rows are cut into groups.
PER_CHANNEL_FROM = 8


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


@contextmanager
def rounded(model: LanguageModel, bits: int, group: int) -> Iterator[None]:
    """The model with the adapter merged into its linear layers and their weights rounded, for as long as it lasts.

    From 8 bits on a row (an output channel) has one scale, below it one for each `group` weights. Embeddings and the
    output head stay as they are. The old weights are put back from copies, bit for bit: subtracting what was merged
    would leave rounding errors.
    """
    saved: list[tuple[Tensor, Tensor]] = []
    per_row = bits >= PER_CHANNEL_FROM
    try:
        with torch.no_grad(), model.without_adapter(), model.without_kept_states():
            for layer, update in linear_layers(model):
                weight: Tensor = layer.weight.data  # type: ignore[assignment]
                saved.append((weight, weight.clone()))
                merged = weight.float() if update is None else weight.float() + update.float()
                # Conv1D keeps inputs in rows.
                by_output = merged.T if isinstance(layer, Conv1D) else merged
                result = round_to(by_output, bits, None if per_row else group)
                weight.copy_(result.T if isinstance(layer, Conv1D) else result)
            yield
    finally:
        for weight, before in saved:
            weight.copy_(before)


def linear_layers(model: LanguageModel) -> Iterator[tuple[nn.Module, Tensor | None]]:
    """The linear layers of the decoder, each with what the adapter adds to its weight (None where it adds nothing)."""
    decoder: nn.Module = model.network.get_base_model().get_decoder()  # type: ignore[operator]
    modules = list(decoder.modules())
    # A wrapped layer and the matrices of its adapter are no layers of their own.
    inside = {id(part) for module in modules if isinstance(module, BaseTunerLayer) for part in module.modules()}
    for module in modules:
        if isinstance(module, BaseTunerLayer):
            base = module.get_base_layer()
            if isinstance(base, nn.Linear | Conv1D):
                yield base, module.get_delta_weight("default")  # type: ignore[operator]
        elif isinstance(module, nn.Linear | Conv1D) and id(module) not in inside:
            yield module, None
