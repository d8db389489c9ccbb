"""What an inner layer of the model writes: the residual stream after it, with a gradient."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from duolearn_cli.errors import ModelError


def layer_at(depth: float, num_layers: int) -> int:
    """Index of the layer with which this share of the layers is passed; the first at least."""
    # What a product of floats has too much must not make it a layer more.
    return max(1, math.ceil(round(depth * num_layers, 6))) - 1


@contextmanager
def recorded(decoder: Any, depth: float, name: str) -> Iterator[list[Tensor]]:
    """Collect what the layer at `depth`, a share of the layers, writes in each forward; depth 0 records nothing.

    Shapes: each [rows, length, width], with a gradient where the forward has one.

    Raises:
        ModelError: the architecture, here called `name`, keeps no list of layers.
    """
    outputs: list[Tensor] = []
    if not depth:
        yield outputs
        return
    layers = getattr(decoder, "layers", ())
    if not len(layers):
        raise ModelError(f"{name} keeps no list of layers, so none can be steered. Mend: another method than rmu.")

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        outputs.append(output[0] if isinstance(output, tuple) else output)

    layer: nn.Module = layers[layer_at(depth, len(layers))]
    hook = layer.register_forward_hook(keep)
    try:
        yield outputs
    finally:
        hook.remove()
