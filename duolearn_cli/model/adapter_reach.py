"""What an adapter reaches: the modules that can carry it, those that the forward uses, and their share of the weights.

PEFT puts a LoRA pair beside a linear layer (`Linear`), whose forward then runs through it, or adds it to a bare
parameter while a module's forward runs (`ParamWrapper`: fused experts and routers). A layer whose weight is read by
other code takes part in neither: its pair learns nothing, and merging it would still change the model.
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

# The architectures whose kernels read these weights themselves; PEFT refuses them (`_check_lora_target_modules_mamba`).
MAMBA_TYPES = frozenset({"mamba", "mamba2", "falcon_mamba", "falcon_h1", "nemotron_h"})
READ_BY_KERNELS = frozenset({"out_proj", "conv1d"})
# Below this share of the weights of the layers that carry it, an adapter on "all linear layers" is not what it says.
LOW_SHARE = 0.5


@torch.no_grad()
def unfit(base: nn.Module) -> dict[str, str]:
    """The linear modules that cannot carry a LoRA pair, by full name, and why: told by a forward of three tokens.

    Modules of one kind go together: an expert to which no token is sent is no reason against all of them.
    """
    linear = {name: module for name, module in base.named_modules() if isinstance(module, nn.Linear | Conv1D)}
    calls: dict[str, bool] = {}

    def note(name: str, inputs: Any, output: Any) -> None:
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
    found = {}
    for name in linear:
        if is_mamba and name.rpartition(".")[2] in READ_BY_KERNELS:
            found[name] = "its weight is read by fused kernels, past any adapter"
        elif _kind(name) not in kinds:
            found[name] = "its forward never runs: its weight is read by other code, past any adapter"
        elif not calls.get(name, True):
            found[name] = "its forward gives more than a product of its input"
    return found


def check_reached(network: nn.Module, parameters: Collection[Tensor]) -> None:
    """Refuse an adapter of which a backward has reached `parameters` alone, and not all that it should have.

    A loss on an inner layer reaches no layer above it, and an expert may have been sent no token: judged is each kind
    of module, up to the highest layer that was reached. A gradient of zeros counts as reached.

    Raises:
        ModelError: with the modules that have no gradient, and the mend.
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
            f"the adapter of {names(owners)} takes no part in the forward: it has no gradient, and merging it would "
            f"change the model. {mend(network, owners)}"
        )


def mend(network: nn.Module, owners: Collection[str]) -> str:
    """What to type so that the modules `owners` (full names, of adapted ones) carry no adapter."""
    refused = {Place(-1, owner, "").module for owner in owners}
    adapted = [
        name.rpartition(".")[2]
        for name, module in network.named_modules()
        if isinstance(module, BaseTunerLayer) and not isinstance(module, ParamWrapper)
    ]
    # A number would name layers as well.
    left = [name for name in dict.fromkeys(adapted) if name not in refused and not name.isdigit()]
    return f"Mend: model.adapter.targets={','.join(left)}." if left else "Mend: another model."


def names(owners: Collection[str]) -> str:
    """Some modules' last names with how many there are of each."""
    counts: dict[str, int] = {}
    for owner in dict.fromkeys(owners):
        module = Place(-1, owner, "").module
        counts[module] = counts.get(module, 0) + 1
    return ", ".join(f"{name} ({count} of them)" if count > 1 else name for name, count in counts.items())


@dataclass(frozen=True, slots=True)
class Reach:
    """How many weights of the body the adapter reaches, and what it leaves out.

    The body is the decoder without embeddings, norms and biases. `missing` has the weights that carry no adapter in
    `layers`, those that do for others, by the name that they share: how many weights.
    """

    reached: int
    within: int
    body: int
    missing: dict[str, int]

    @property
    def share(self) -> float:
        """Of the body's weights."""
        return self.reached / max(1, self.body)

    @property
    def is_low(self) -> bool:
        """Whether most weights of the very layers that carry the adapter are left out."""
        return self.reached < LOW_SHARE * self.within

    def sentences(self, targets: str) -> list[str]:
        """What the log says of an adapter on these `targets`, right after the model is loaded."""
        if not self.is_low or targets != "all-linear":
            return [self.sentence()]
        return [
            f"Warning: {self.sentence()}. What the model knows there is neither learned nor unlearned. model.adapter."
            "targets=all-linear stands for what PEFT adapts of this architecture"
        ]

    def sentence(self) -> str:
        """The share, and the largest parts that are left out."""
        found = f"the adapter reaches {self.share:.1%} of the body's weights"
        if self.within < self.body:
            found += f" ({self.reached / max(1, self.within):.1%} of those of its layers)"
        if not self.missing:
            return found
        largest = sorted(self.missing.items(), key=lambda pair: -pair[1])
        told = [f"{name} ({count / self.within:.0%})" for name, count in largest[:4] if count >= self.within / 100]
        more = f" and {len(largest) - len(told)} more" if len(largest) > len(told) else ""
        return f"{found}; of its layers it leaves out {', '.join(told) or 'small parts'}{more if told else ''}"


def reach(network: nn.Module, decoder: nn.Module) -> Reach:
    """Count the weights of `decoder` that the adapter of `network` reaches.

    Quantised weights are counted as they are stored: their shares within one kind of storage hold, others roughly.
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
    """Yield the full names of adapted modules, each with the base weight that the adapter adds to."""
    for name, module in network.named_modules():
        if isinstance(module, ParamWrapper):
            yield name, module.get_param()
        elif isinstance(module, BaseTunerLayer):
            yield name, module.get_base_layer().weight  # type: ignore[misc]


def num_experts(network: nn.Module) -> dict[str, int]:
    """Into how many matrices a LoRA pair is cut, by the full name of its module: more than one for fused experts."""
    pairs = ((name, module) for name, module in network.named_modules() if isinstance(module, ParamWrapper))
    return {name: module.num_experts for name, module in pairs if module.num_experts > 1}


def _body(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    # An output layer may share the embedding's weight.
    left_out = {id(p) for m in network.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    for name, weight in network.named_parameters():
        is_bias = name.rpartition(".")[2].endswith("bias")
        if weight.ndim > 1 and ".lora_" not in name and not is_bias and id(weight) not in left_out:
            yield name, weight


def _kind(name: str) -> str:
    return Place(-1, f"{name}.", "").kind
