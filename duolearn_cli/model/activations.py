"""Record the output of an inner layer of the model: the residual stream after it, with its gradient."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from duolearn_cli.errors import ModelError


def layer_at(depth: float, num_layers: int) -> int:
    """Return the index of the first layer after which at least the share `depth` of all layers has run."""
    # Rounded, because a product of floats may be a little above a whole number, and ceil would add a layer.
    return max(1, math.ceil(round(depth * num_layers, 6))) - 1


@contextmanager
def recorded(decoder: Any, depth: float, name: str) -> Iterator[list[Tensor]]:
    """Collect the outputs of the layer at `depth` (a share of the layers), one for each forward; 0 records nothing.

    Shapes: each output is [rows, length, width], with a gradient if the forward has one.

    Raises:
        ModelError: the architecture, called `name` in the message, has no list of layers.
    """
    outputs: list[Tensor] = []
    if not depth:
        yield outputs
        return
    layers = getattr(decoder, "layers", ())
    if not len(layers):
        raise ModelError(f"{name} has no list of layers, so none can be steered. Fix: use another method than rmu.")

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        outputs.append(output[0] if isinstance(output, tuple) else output)

    layer: nn.Module = layers[layer_at(depth, len(layers))]
    hook = layer.register_forward_hook(keep)
    try:
        yield outputs
    finally:
        hook.remove()
