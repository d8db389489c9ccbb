"""The LoRA adapter of a model: its PEFT configuration, its initial values, and its files."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from peft.utils import get_peft_model_state_dict
from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers.pytorch_utils import Conv1D

from duolearn_cli.config.layers import ALL, chosen_layers
from duolearn_cli.config.model import AdapterConfig, target_names
from duolearn_cli.config.privacy import ACCOUNT_FILE, ACCOUNT_MARK
from duolearn_cli.config.typed_json import read_object
from duolearn_cli.errors import ModelError, nearest
from duolearn_cli.model import adapter_reach, distributed
from duolearn_cli.model.adapter_files import ADAPTER_FILE, CONFIG_FILE
from duolearn_cli.model.adapter_names import Place
from duolearn_cli.model.pretrained import counted, listed, not_finite

ALL_LINEAR = "all-linear"
# The settings of PEFT on which the meaning of an adapter's weights depends, each with our setting for it.
DECISIVE = {
    "r": "model.adapter.rank",
    "lora_alpha": "model.adapter.alpha",
    "use_rslora": "model.adapter.rank and model.adapter.alpha",
    "use_dora": "model.adapter.rank and model.adapter.alpha",
    "layers_to_transform": "model.adapter.layers",
}


def attach(adapter: AdapterConfig, base: Any) -> PeftModel:
    """Return `base` with a fresh adapter.

    Raises:
        ModelError: PEFT cannot adapt these modules of the architecture, or see `lora_config`.
        ConfigError: see `lora_config`.
    """
    with warnings.catch_warnings():
        # PEFT reads a property of transformers by its older name.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        # GPT-2's layers store their weights transposed, and PEFT corrects its own setting.
        warnings.filterwarnings("ignore", "fan_in_fan_out is set to False", UserWarning)
        # PEFT sets the ranks of fused experts for parameters, but then looks for them among modules.
        warnings.filterwarnings("ignore", "The following (rank|alpha)_pattern keys did not match", RuntimeWarning)
        try:
            return cast(PeftModel, get_peft_model(cast(Any, base), lora_config(adapter, base)))
        except ValueError as error:
            # Only the first sentence: PEFT prints whole modules over many lines, and then lists what it supports.
            reason = " ".join(str(error).split()).partition(". ")[0].removesuffix(".")
            fix = "use another model" if adapter.targets == ALL_LINEAR else f"model.adapter.targets={ALL_LINEAR}"
            raise ModelError(f"model.adapter.targets={adapter.targets}: {reason}. Fix: {fix}.") from error


def lora_config(adapter: AdapterConfig, base: nn.Module) -> LoraConfig:
    """Return PEFT's configuration of an adapter on `base`.

    ``all-linear`` means all linear layers that can carry a LoRA pair, and fused experts if PEFT can adapt them.

    Raises:
        ModelError: a target names no module of `base`, or one that cannot carry a LoRA pair; or layers are chosen, but
            `base` has no numbered layers.
        ConfigError: the adapter names layers that `base` does not have.
    """
    # Typed as Any, because PEFT annotates alpha as an integer. It only divides alpha by the rank, so any number works.
    alpha: Any = adapter.alpha
    names = target_names(adapter)
    modules = {name.rpartition(".")[2] for name, _ in base.named_modules()}
    for name in names or ():
        if name not in modules:
            raise ModelError(f"model.adapter.targets: no module is called {name!r}{nearest(name, modules)}.")
    layers, inside = _layers(adapter, base)
    left_out = adapter_reach.unfit(base)
    _check_named(names or (), left_out, base)
    config = LoraConfig(
        r=adapter.rank,
        lora_alpha=alpha,
        lora_dropout=adapter.dropout,
        target_modules=names or ALL_LINEAR,
        exclude_modules=sorted(left_out) or None,
        task_type="CAUSAL_LM",
    )
    if layers is not None:
        _restrict_to_layers(config, base, layers, inside)
    return config


def _check_named(names: Collection[str], left_out: Mapping[str, str], base: nn.Module) -> None:
    """Raise a ModelError if the user names modules that cannot carry a LoRA pair."""
    for name in names:
        reasons = [reason for place, reason in left_out.items() if place.rpartition(".")[2] == name]
        if not reasons:
            continue
        linear = [place for place, module in base.named_modules() if isinstance(module, nn.Linear | Conv1D)]
        others = [place.rpartition(".")[2] for place in linear if place not in left_out]
        usable = [other for other in names if other != name and other in others]
        raise ModelError(
            f"model.adapter.targets: {name} of {type(base).__name__} cannot carry an adapter: {reasons[0]}. "
            f"Fix: model.adapter.targets={','.join(usable) or ALL_LINEAR}."
        )


def _restrict_to_layers(config: LoraConfig, base: nn.Module, layers: list[int], inside: Collection[Place]) -> None:
    """Restrict a configuration that adapts all layers to `layers`, in place.

    `inside` are the linear modules of numbered layers. PEFT can choose layers only for modules; fused experts, which it
    targets as parameters, it would adapt in all layers.
    """
    convert_peft_config_for_transformers(config, base, None)
    if config.target_modules == ALL_LINEAR:
        # PEFT's "all-linear" does not combine with chosen layers, so the modules are listed. A module called by a
        # number is listed by its full name, because other modules have the number too.
        chosen = [place for place in inside if place.layer in layers]
        config.target_modules = sorted({p.owner if p.module.isdigit() else p.module for p in chosen})
    config.layers_to_transform = layers
    # Without a pattern PEFT takes the last number in a name as the layer's, which may be an expert's.
    config.layers_pattern = sorted({re.split(r"\.\d+\.", p.owner)[0].rpartition(".")[2] for p in inside})
    if not config.target_parameters:
        return
    wanted = tuple(f".{name}" for name in config.target_parameters)
    parameters = [name for name, _ in base.named_parameters() if f".{name}".endswith(wanted)]
    config.target_parameters = [name for name in parameters if Place.of(name).layer in layers]
    if not config.target_parameters:
        config.rank_pattern, config.alpha_pattern = {}, {}


def _layers(adapter: AdapterConfig, base: nn.Module) -> tuple[list[int] | None, Collection[Place]]:
    """Return the numbers of the chosen layers, or None for all, and the linear modules of all numbered layers."""
    if adapter.layers == ALL:
        return None, ()
    linear = [name for name, module in base.named_modules() if isinstance(module, nn.Linear | Conv1D)]
    places = [place for place in map(Place.of, linear) if place.layer >= 0]
    if not places:
        raise ModelError(
            f"model.adapter.layers={adapter.layers}: {type(base).__name__} has no numbered layers; allowed: {ALL}."
        )
    count = 1 + max(place.layer for place in places)
    chosen = chosen_layers(adapter.layers, count)
    return (None if len(chosen) == count else chosen), places


def initialise(network: PeftModel, seed: int) -> None:
    """Draw LoRA's A matrices (Kaiming uniform, as PEFT does) from `seed`, and set B to zero.

    The random generator is our own, so that nothing depends on the global one. Modules are drawn in the model's order.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        if "lora_A" in name:
            fresh = torch.empty(parameter.shape)
            nn.init.kaiming_uniform_(fresh, a=math.sqrt(5), generator=generator)
            parameter.data.copy_(fresh)
        elif "lora_B" in name:
            parameter.data.zero_()


def save(network: PeftModel, folder: Path, *, is_main: bool) -> None:
    """Write the adapter's weights (safetensors) and its configuration, as PEFT does.

    All processes of a sharded model must call this; only the main one writes. If the folder already has the model's
    privacy account, the weights are marked as accounted for.
    """
    # Embeddings are never saved. PEFT's default would look up the base model on the hub to see whether its vocabulary
    # grew, and ours never does.
    state = get_peft_model_state_dict(network, save_embedding_layers=False)
    tensors = {name: distributed.full(tensor.detach()).cpu().contiguous() for name, tensor in state.items()}
    if not is_main:
        return
    folder.mkdir(parents=True, exist_ok=True)
    mark = {ACCOUNT_MARK: ACCOUNT_FILE} if (folder / ACCOUNT_FILE).is_file() else {}
    save_file(tensors, folder / ADAPTER_FILE, metadata={"format": "pt"} | mark)
    network.peft_config["default"].save_pretrained(str(folder))
    # safetensors lets only the owner read its files; whoever verifies a run must read them too.
    (folder / ADAPTER_FILE).chmod((folder / CONFIG_FILE).stat().st_mode)


def load(network: PeftModel, folder: Path) -> None:
    """Replace the adapter's weights by those in `folder`.

    Raises:
        ModelError: there is no adapter, it cannot be read, or it was made for other modules, ranks or layers.
    """
    path = folder / ADAPTER_FILE
    if not path.is_file():
        raise ModelError(f"{folder} contains no adapter: {ADAPTER_FILE} is missing (only safetensors are read).")
    _check_config(network, folder)
    try:
        tensors = load_file(path)
        if broken := not_finite(tensors):
            raise ModelError(
                f"the adapter in {folder} has {counted(broken)} with numbers that are not finite ({listed(broken)})."
            )
        own = get_peft_model_state_dict(network, save_embedding_layers=False)
        shards = {name: distributed.shard_like(tensor, own[name]) for name, tensor in tensors.items() if name in own}
        result = set_peft_model_state_dict(network, tensors | shards)
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise ModelError(
            f"the adapter in {folder} cannot be read, or does not fit: {str(error).splitlines()[0]}"
        ) from error
    strange = [*result.unexpected_keys, *(key for key in result.missing_keys if "lora_" in key)]
    if strange:
        raise ModelError(
            f"the adapter in {folder} has other modules than this model's: {', '.join(strange[:3])} ... It was made "
            "with other model.adapter.targets or layers, or by an earlier version; one in the cache can be deleted."
        )


def _check_config(network: PeftModel, folder: Path) -> None:
    """Raise a ModelError if the saved adapter's settings differ from this model's: its weights would mean another
    change under another rank or scale, and have no place in other layers."""
    path, own = folder / CONFIG_FILE, network.peft_config["default"].to_dict()
    saved = read_object(path, {}, error=ModelError)
    for key, settings in DECISIVE.items():
        if saved.get(key, own.get(key)) != own.get(key):
            raise ModelError(
                f"the adapter in {folder} was made with {key}={saved[key]}, this model has {own[key]}; "
                f"set {settings} to the adapter's."
            )
