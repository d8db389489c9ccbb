"""The frozen output layer: from hidden states to logits, and from a gradient at the logits to one at the states."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from duolearn_cli.errors import ModelError

# Names of a scale of the logits (Granite, Cohere, Falcon-H1, MiniCPM3, HyperCLOVA X). Architectures use it as a factor
# or as a divisor; the probe in `find` shows which.
SCALES = ("logits_scaling", "logit_scale", "lm_head_multiplier", "logits_mup_width_multiplier")
# Names of the bound of a soft cap on logits (Gemma 2 and relatives, RecurrentGemma, xLSTM).
CAPS = ("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap")
# Relative differences that the probe allows. The same kernels run on the same shapes, so only a scale or a cap rounds.
# In 16 bits each rounding is off by up to 2^-9, and a cap has three.
TOLERANCE = {torch.float64: 1e-4, torch.float32: 1e-4}
ROUNDED = 0.02
PROBE = [[1, 2, 3]]
# The range of made-up logits. A soft cap only shows at large ones.
SMALLEST, LARGEST = 1e-2, 1e3


@dataclass(frozen=True, eq=False)
class OutputLayer:
    """An output layer: ``logits = cap tanh(scale (W h + b) / cap)``, or without a cap ``scale (W h + b)``.

    Logits are float32, or float64 if the weights are.
    """

    linear: nn.Linear
    scale: float = 1.0
    cap: float | None = None

    @property
    def vocabulary(self) -> int:
        """The number of logits."""
        return self.linear.weight.shape[0]

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the logits of hidden states. Shapes: [n, width] -> [n, vocabulary]."""
        raw = self.linear(hidden)
        return self.finished(raw.to(torch.promote_types(raw.dtype, torch.float32)))

    def finished(self, raw: Tensor) -> Tensor:
        """Return the logits that follow from the linear layer's outputs `raw`. Any shape."""
        scaled = raw if self.scale == 1 else raw * self.scale
        return scaled if self.cap is None else self.cap * torch.tanh(scaled / self.cap)

    def pull(self, gradient: Tensor, logits: Tensor) -> Tensor:
        """Turn a gradient at `logits` into one at the hidden states. Shapes: both [n, vocabulary] -> [n, width].

        It is ``W^T (scale (1 - (logits / cap)^2) gradient)``, since the derivative of tanh is 1 - tanh^2.
        """
        if self.cap is not None:
            gradient = gradient * (1 - (logits / self.cap).square())
        if self.scale != 1:
            gradient = gradient * self.scale
        return gradient.to(self.linear.weight.dtype) @ self.linear.weight


def decoder_of(base: Any) -> Any:
    """Return the part of a model below its output layer.

    Raises:
        ModelError: the model has no such part.
    """
    decoder = base.get_decoder()
    # transformers returns the whole model if the part does not have its usual name (Llama 4).
    decoder = getattr(base, "model", None) if decoder is base else decoder
    if not isinstance(decoder, nn.Module):
        raise ModelError(f"{type(base).__name__} has no decoder below its output layer, which is not supported.")
    return decoder


def linear_of(base: Any, name: str) -> nn.Linear:
    """Return the linear part of the output layer; `name` is the architecture, for messages.

    Raises:
        ModelError: the output layer is not linear, is quantised, or carries an adapter.
    """
    head = base.get_output_embeddings()
    if isinstance(head, BaseTunerLayer):
        raise ModelError(f"the output layer of {name} carries an adapter. Fix: remove it from model.adapter.targets.")
    # Quantised layers are linear layers too, but `pull` needs the weights as numbers.
    if not isinstance(head, nn.Linear) or not head.weight.is_floating_point():
        raise ModelError(
            f"the output layer of {name} is a {type(head).__name__}; allowed: a linear layer without quantised weights."
        )
    return head


@torch.no_grad()
def find(base: Any, decoder: Any, name: str) -> OutputLayer:
    """Find a model's output layer, with the scale and the soft cap that its forward applies.

    A probe runs the model with made-up outputs of the linear layer, small and large ones, and sees which scale and cap
    of the configuration explain the logits. The model's own logits may be too small to show a cap. The adapter must be
    empty or off.

    Args:
        base: the model.
        decoder: its part below the output layer.
        name: the architecture, for messages.

    Raises:
        ModelError: the output layer is not linear, the model changes logits in another way, or predictions are not
            finite.
    """
    linear, ids = linear_of(base, name), torch.tensor(PROBE, device=next(base.parameters()).device)
    states = _states(base, decoder, ids, name)
    entered, raw, logits = _forward_with_made_up_outputs(base, linear, ids)
    if entered is None or entered.shape != states.shape:
        raise ModelError(f"{name} does not pass its last hidden states to its output layer, which is not supported.")
    values = list(_values(base.config.get_text_config(), SCALES))
    scales = [1.0, *values, *(1 / value for value in values)]
    before, off = min(((scale, _distance(entered, states * scale)) for scale in scales), key=lambda pair: pair[1])
    tolerance = TOLERANCE.get(states.dtype, ROUNDED)
    # A scale of the hidden states equals a scale of the logits only without a bias, which it does not scale.
    if not off <= tolerance or (before != 1 and isinstance(linear.bias, Tensor)):
        raise ModelError(
            f"{name} changes its hidden states before the output layer; only a scale is supported, and only if that "
            "layer has no bias."
        )
    if logits.shape != raw.shape:
        raise ModelError(
            f"{name} returns {logits.shape[-1]} of the {raw.shape[-1]} logits of its output layer; all are needed."
        )
    caps = [None, *_values(base.config.get_text_config(), CAPS)]
    after = _explaining([OutputLayer(linear, *pair) for pair in product(scales, caps)], raw, logits, tolerance, name)
    return OutputLayer(linear, before * after.scale, after.cap)


def _states(base: Any, decoder: Any, ids: Tensor, name: str) -> Tensor:
    """Return the last hidden states of the probe. Raises ModelError if there are none, or predictions are not finite.

    Shapes: [rows, length] -> [rows, length, width].
    """
    try:
        states = decoder(input_ids=ids).last_hidden_state
    except (TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{name} has no decoder that turns token ids into hidden states ({str(error).splitlines()[0]})."
        ) from error
    if not base(input_ids=ids).logits.isfinite().all():
        fix = "use another model" if states.dtype in TOLERANCE else "runtime.precision=fp32"
        raise ModelError(
            f"the predictions of {name} are not finite in {states.dtype}, although its weights are. Fix: {fix}."
        )
    return states


def _explaining(tried: list[OutputLayer], raw: Tensor, logits: Tensor, tolerance: float, name: str) -> OutputLayer:
    """Return the layer that turns `raw` outputs into `logits`. Raises ModelError if none of those tried does."""
    after, off = min(((layer, _worst(layer.finished(raw), logits)) for layer in tried), key=lambda pair: pair[1])
    if not off <= tolerance:
        raise ModelError(
            f"{name} changes its logits after the output layer in a way that is not supported; supported are a scale "
            f"({', '.join(SCALES)}) and a soft cap ({', '.join(CAPS)}) that its configuration names."
        )
    return after


def _forward_with_made_up_outputs(base: Any, linear: nn.Linear, ids: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
    """Run the model with made-up outputs of its linear layer.

    Returns:
        The inputs of the linear layer (None if it did not run exactly once), the made-up outputs, and the logits.
    """
    entered: list[Tensor] = []
    raw: list[Tensor] = []

    def replace(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        entered.append(inputs[0])
        # Both signs and all sizes, so that no other scale and cap could explain the logits as well.
        sizes = torch.logspace(math.log10(SMALLEST), math.log10(LARGEST), output.numel(), device=output.device)
        signs = 1 - 2 * (torch.arange(output.numel(), device=output.device) % 2)
        raw.append((sizes * signs).view(output.shape).to(output.dtype))
        return raw[-1]

    hook = linear.register_forward_hook(replace)
    try:
        logits = base(input_ids=ids).logits
    finally:
        hook.remove()
    if len(raw) != 1:
        return None, logits, logits
    wide = torch.promote_types(logits.dtype, torch.float32)
    return entered[0], raw[0].to(wide), logits.to(wide)


def _values(config: Any, names: tuple[str, ...]) -> Iterator[float]:
    """Yield the positive numbers that the configuration has under one of these names."""
    for name in names:
        value = getattr(config, name, None)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            yield float(value)


def _distance(one: Tensor, other: Tensor) -> float:
    """Return the relative distance of two tensors, as vectors."""
    return float((one.float() - other.float()).norm() / other.float().norm())


def _worst(one: Tensor, other: Tensor) -> float:
    """Return the largest relative difference of an entry."""
    return float(((one - other).abs() / other.abs()).max())
