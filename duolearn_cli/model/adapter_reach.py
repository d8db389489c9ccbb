"""What an adapter reaches: which modules can carry it, which the forward uses, and their share of the weights.

PEFT adapts a linear layer by running a LoRA pair beside it (`Linear`). It adapts a bare parameter by adding the pair's
product to it while the module's forward runs (`ParamWrapper`: fused experts and routers). Both fail if other code reads
the layer's weight directly: the pair then learns nothing, and merging it would still change the model.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.lora.layer import ParamWrapper
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from duolearn_cli.errors import ModelError
from duolearn_cli.model.adapter_names import Place

# Architectures whose fused kernels read the weights of `READ_BY_KERNELS` directly; PEFT refuses to adapt these
# (`_check_lora_target_modules_mamba`).
MAMBA_TYPES = frozenset({"mamba", "mamba2", "falcon_mamba", "falcon_h1", "nemotron_h"})
READ_BY_KERNELS = frozenset({"out_proj", "conv1d"})
# A warning comes if an adapter on "all linear layers" reaches a smaller share of the weights of its layers.
LOW_SHARE = 0.5


@torch.no_grad()
def unfit(base: nn.Module) -> dict[str, str]:
    """Return {full name: reason} of the linear modules that cannot carry a LoRA pair.

    A forward of three tokens shows which modules run. Modules of one kind are judged together, because an expert may
    simply get no token.
    """
    linear = {name: module for name, module in base.named_modules() if isinstance(module, nn.Linear | Conv1D)}
    calls: dict[str, bool] = {}

    def note(name: str, inputs: Any, output: Any) -> None:
        # LoRA adds a tensor to the output, so the output must be one tensor with a row for each row of the input.
        fits = isinstance(output, Tensor) and output.shape[:-1] == inputs[0].shape[:-1]
        calls[name] = calls.get(name, True) and fits

    hooks = [
        module.register_forward_hook(lambda _, inputs, output, name=name: note(name, inputs, output))
        for name, module in linear.items()
    ]
    try:
        device = next(base.parameters()).device
        base(input_ids=torch.tensor([[1, 2, 3]], device=device))
    finally:
        for hook in hooks:
            hook.remove()
    kinds = {_kind(name) for name in calls}
    is_mamba = getattr(getattr(base, "config", None), "model_type", None) in MAMBA_TYPES
    reasons = {}
    for name in linear:
        if is_mamba and name.rpartition(".")[2] in READ_BY_KERNELS:
            reasons[name] = "fused kernels read its weight directly, without the adapter"
        elif _kind(name) not in kinds:
            reasons[name] = "its forward never runs: other code reads its weight directly, without the adapter"
        elif not calls.get(name, True):
            reasons[name] = "its forward returns more than a product of its input"
    return reasons


def check_reached(network: nn.Module, parameters: Collection[Tensor]) -> None:
    """Refuse an adapter if a backward gave a gradient only to `parameters` and missed modules that it should reach.

    A loss on an inner layer cannot reach the layers above it, and an expert may get no token. So each kind of module is
    judged as a whole, up to the highest layer that was reached. A gradient of zeros counts as reached.

    Raises:
        ModelError: some kind of module has no gradient. The message names the modules and the fix.
    """
    ids = {id(parameter) for parameter in parameters}
    pairs = [(Place.of(name), id(p) in ids) for name, p in network.named_parameters() if p.requires_grad]
    if not ids:
        return
    top = max(place.layer for place, is_reached in pairs if is_reached)
    kinds = {(place.kind, place.matrix) for place, is_reached in pairs if is_reached}
    missing = [place for place, _ in pairs if place.layer <= top and (place.kind, place.matrix) not in kinds]
    if missing:
        owners = [place.owner for place in missing]
        raise ModelError(
            f"the adapter of {names(owners)} is not used in the forward: it has no gradient, and merging it would "
            f"change the model. {fix(network, owners)}"
        )


def fix(network: nn.Module, owners: Collection[str]) -> str:
    """Return the end of a message: the setting with which the adapted modules `owners` (full names) get no adapter."""
    refused = {Place(-1, owner, "").module for owner in owners}
    adapted = [
        name.rpartition(".")[2]
        for name, module in network.named_modules()
        if isinstance(module, BaseTunerLayer) and not isinstance(module, ParamWrapper)
    ]
    # A module called by a number cannot be a target: the number would match layers as well.
    left = [name for name in dict.fromkeys(adapted) if name not in refused and not name.isdigit()]
    return f"Fix: model.adapter.targets={','.join(left)}." if left else "Fix: use another model."


def names(owners: Collection[str]) -> str:
    """Return the modules' short names, each with how many modules have it."""
    counts: dict[str, int] = {}
    for owner in dict.fromkeys(owners):
        module = Place(-1, owner, "").module
        counts[module] = counts.get(module, 0) + 1
    return ", ".join(f"{name} ({count} of them)" if count > 1 else name for name, count in counts.items())


@dataclass(frozen=True, slots=True)
class Reach:
    """How many weights the adapter reaches. All numbers are numbers of weights.

    body: all weights of the body, which is the decoder without embeddings, norms and biases.
    within: those in layers that carry the adapter at all.
    reached: those that the adapter adds to.
    missing: the weights within these layers that carry no adapter, by the modules' short name.
    """

    reached: int
    within: int
    body: int
    missing: dict[str, int]

    @property
    def share(self) -> float:
        """The share of the body's weights that the adapter reaches."""
        return self.reached / max(1, self.body)

    @property
    def is_low(self) -> bool:
        """Whether the adapter leaves out most weights of the layers that carry it."""
        return self.reached < LOW_SHARE * self.within

    def sentences(self, targets: str) -> list[str]:
        """Return the lines about an adapter on these `targets` that the log shows after loading."""
        if not self.is_low or targets != "all-linear":
            return [self.sentence()]
        return [
            f"Warning: {self.sentence()}. Knowledge in these parts is neither learned nor unlearned. For this "
            "architecture model.adapter.targets=all-linear only means the modules that PEFT can adapt"
        ]

    def sentence(self) -> str:
        """Return one line: the share, and the largest parts that are left out."""
        line = f"the adapter reaches {self.share:.1%} of the body's weights"
        if self.within < self.body:
            line += f" ({self.reached / max(1, self.within):.1%} in the layers that carry it)"
        if not self.missing:
            return line
        largest = sorted(self.missing.items(), key=lambda pair: -pair[1])
        shown = [f"{name} ({count / self.within:.0%})" for name, count in largest[:4] if count >= self.within / 100]
        more = f" and {len(largest) - len(shown)} more" if len(largest) > len(shown) else ""
        return f"{line}; in its layers it leaves out {', '.join(shown) or 'small parts'}{more if shown else ''}"


def reach(network: nn.Module, decoder: nn.Module) -> Reach:
    """Count the weights of `decoder` that the adapter of `network` reaches.

    Quantised weights are counted as stored elements, several weights to one. Shares are exact if all weights are stored
    in the same way, and approximate otherwise.
    """
    inside = {id(parameter) for parameter in decoder.parameters()}
    adapted = {id(weight): Place.of(f"{name}.lora_A").layer for name, weight in adapted_weights(network)}
    carrying, body = set(adapted.values()), 0
    reached = within = 0
    missing: dict[str, int] = {}
    for name, weight in _body(network):
        if id(weight) not in inside:
            continue
        body += weight.numel()
        is_reached = id(weight) in adapted
        if is_reached or Place.of(name).layer in carrying:
            within += weight.numel()
        if is_reached:
            reached += weight.numel()
        elif Place.of(name).layer in carrying:
            parts = [part for part in name.split(".") if not part.isdigit() and part not in ("base_layer", "weight")]
            short = ".".join(parts[-2:])
            missing[short] = missing.get(short, 0) + weight.numel()
    return Reach(reached, within, body, missing)


def adapted_weights(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield (full name, base weight that the adapter adds to) of each adapted module."""
    for name, module in network.named_modules():
        if isinstance(module, ParamWrapper):
            yield name, module.get_param()
        elif isinstance(module, BaseTunerLayer):
            yield name, module.get_base_layer().weight  # type: ignore[misc]


def num_experts(network: nn.Module) -> dict[str, int]:
    """Return {full module name: number of experts} for fused experts; their LoRA pair has one matrix for each."""
    pairs = ((name, module) for name, module in network.named_modules() if isinstance(module, ParamWrapper))
    return {name: module.num_experts for name, module in pairs if module.num_experts > 1}


def _body(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    # By identity, because an output layer may share the embedding's weight and is then left out as well.
    left_out = {id(p) for m in network.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    for name, weight in network.named_parameters():
        is_bias = name.rpartition(".")[2].endswith("bias")
        if weight.ndim > 1 and ".lora_" not in name and not is_bias and id(weight) not in left_out:
            yield name, weight


def _kind(name: str) -> str:
    return Place(-1, f"{name}.", "").kind
