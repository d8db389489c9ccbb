"""The frozen output layer: hidden states to logits, and a gradient at the logits back to one at the hidden states."""

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

# By architecture a factor or a divisor (Granite, Cohere, Falcon-H1, MiniCPM3, HyperCLOVA X): the probe tells which.
SCALES = ("logits_scaling", "logit_scale", "lm_head_multiplier", "logits_mup_width_multiplier")
# The bound of a soft cap (Gemma 2 and its kin, RecurrentGemma, xLSTM).
CAPS = ("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap")
# Relative. The same kernels run on the same shapes, so that only a scale or a cap rounds; in 16 bits each rounding
# is off by up to 2^-9, and a cap has three.
TOLERANCE = {torch.float64: 1e-4, torch.float32: 1e-4}
ROUNDED = 0.02
PROBE = [[1, 2, 3]]
# Made-up logits of these sizes: a soft cap shows at the large ones alone.
SMALLEST, LARGEST = 1e-2, 1e3


@dataclass(frozen=True, eq=False)
class OutputLayer:
    """``logits = cap tanh(scale (W h + b) / cap)``, or without a cap ``scale (W h + b)``.

    Logits are float32, or float64 where the weights are.
    """

    linear: nn.Linear
    scale: float = 1.0
    cap: float | None = None

    @property
    def vocabulary(self) -> int:
        return self.linear.weight.shape[0]

    def logits(self, hidden: Tensor) -> Tensor:
        """Shape: [n, width] -> [n, vocabulary]."""
        raw = self.linear(hidden)
        return self.finished(raw.to(torch.promote_types(raw.dtype, torch.float32)))

    def finished(self, raw: Tensor) -> Tensor:
        """Logits of the linear layer's outputs; any shape."""
        scaled = raw if self.scale == 1 else raw * self.scale
        return scaled if self.cap is None else self.cap * torch.tanh(scaled / self.cap)

    def pull(self, gradient: Tensor, logits: Tensor) -> Tensor:
        """The gradient at the hidden states of one at their `logits`. Shapes: both [n, vocabulary] -> [n, width].

        ``W^T (scale (1 - (logits / cap)^2) gradient)``
        """
        if self.cap is not None:
            gradient = gradient * (1 - (logits / self.cap).square())
        if self.scale != 1:
            gradient = gradient * self.scale
        return gradient.to(self.linear.weight.dtype) @ self.linear.weight


def decoder_of(base: Any) -> Any:
    """What gives the hidden states that the output layer reads. Raises ModelError where the model shows none."""
    found = base.get_decoder()
    # transformers gives the whole model where the part is not called after the class (Llama 4).
    found = getattr(base, "model", None) if found is base else found
    if not isinstance(found, nn.Module):
        raise ModelError(f"{type(base).__name__} shows no decoder below its output layer, which is not supported.")
    return found


def linear_of(base: Any, name: str) -> nn.Linear:
    """The linear part of the output layer of the architecture `name`. Raises ModelError where it is something else."""
    head = base.get_output_embeddings()
    if isinstance(head, BaseTunerLayer):
        raise ModelError(f"the output layer of {name} carries an adapter. Mend: take it out of model.adapter.targets.")
    # Quantised layers are linear layers too, but `pull` needs the weights themselves.
    if not isinstance(head, nn.Linear) or not head.weight.is_floating_point():
        raise ModelError(
            f"the output layer of {name} is a {type(head).__name__}; allowed: a linear layer without quantised weights."
        )
    return head


@torch.no_grad()
def find(base: Any, decoder: Any, name: str) -> OutputLayer:
    """The output layer of a model, with the scale and the cap that its configuration names and its forward applies.

    The model is run with made-up outputs of the linear layer, small and large, so that what it makes of them does not
    depend on how large its own logits are. The adapter must be empty or off.

    Raises:
        ModelError: it is no linear layer, it does something else to the logits, or predictions are not finite.
    """
    linear, ids = linear_of(base, name), torch.tensor(PROBE, device=next(base.parameters()).device)
    try:
        states = decoder(input_ids=ids).last_hidden_state
    except (TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{name} has no decoder that turns token ids into hidden states ({str(error).splitlines()[0]})."
        ) from error
    if not base(input_ids=ids).logits.isfinite().all():
        mend = "another model" if states.dtype in TOLERANCE else "runtime.precision=fp32"
        raise ModelError(
            f"the predictions of {name} are not finite, though its weights are, in {states.dtype}. Mend: {mend}."
        )
    entered, raw, logits = _forward_with_made_up_outputs(base, linear, ids)
    if entered is None or entered.shape != states.shape:
        raise ModelError(f"{name} does not give its last hidden states to its output layer, which is not supported.")
    values = list(_values(base.config.get_text_config(), SCALES))
    scales = [1.0, *values, *(1 / value for value in values)]
    before, off = min(((scale, _distance(entered, states * scale)) for scale in scales), key=lambda pair: pair[1])
    tolerance = TOLERANCE.get(states.dtype, ROUNDED)
    # A scale of the hidden states leaves the bias as it is.
    if not off <= tolerance or (before != 1 and isinstance(linear.bias, Tensor)):
        raise ModelError(
            f"{name} changes its hidden states before the output layer, which is not supported but for a scale where "
            "that layer has no bias."
        )
    if logits.shape != raw.shape:
        raise ModelError(
            f"{name} gives {logits.shape[-1]} of the {raw.shape[-1]} logits of its output layer; only all will do."
        )
    caps = [None, *_values(base.config.get_text_config(), CAPS)]
    tried = [OutputLayer(linear, scale, cap) for scale, cap in product(scales, caps)]
    after, off = min(((layer, _worst(layer.finished(raw), logits)) for layer in tried), key=lambda pair: pair[1])
    if not off <= tolerance:
        raise ModelError(
            f"{name} changes its logits after the output layer in a way that is not supported; known are a scale "
            f"({', '.join(SCALES)}) and a soft cap ({', '.join(CAPS)}) as its configuration gives them."
        )
    return OutputLayer(linear, before * after.scale, after.cap)


def _forward_with_made_up_outputs(base: Any, linear: nn.Linear, ids: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
    """What the linear layer was given, what was put in place of its output, and what the model then gave as logits."""
    entered: list[Tensor] = []
    raw: list[Tensor] = []

    def replace(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        entered.append(inputs[0])
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
    """Positive numbers that the configuration gives under any of these names."""
    for name in names:
        value = getattr(config, name, None)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            yield float(value)


def _distance(one: Tensor, other: Tensor) -> float:
    """Relative, as vectors."""
    return float((one.float() - other.float()).norm() / other.float().norm())


def _worst(one: Tensor, other: Tensor) -> float:
    """Relative, of the entry that differs most."""
    return float(((one - other).abs() / other.abs()).max())
