"""The LoRA adapter of a model: its PEFT configuration, its first values, and its files."""

from __future__ import annotations

import json
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
from duolearn_cli.errors import ModelError, nearest
from duolearn_cli.model import adapter_reach, distributed
from duolearn_cli.model.adapter_files import ADAPTER_FILE, CONFIG_FILE
from duolearn_cli.model.adapter_names import Place
from duolearn_cli.model.pretrained import counted, listed, not_finite

ALL_LINEAR = "all-linear"
# What an adapter's weights mean depends on these settings of PEFT's; each with what sets it here.
DECISIVE = {
    "r": "model.adapter.rank",
    "lora_alpha": "model.adapter.alpha",
    "use_rslora": "model.adapter.rank and model.adapter.alpha",
    "use_dora": "model.adapter.rank and model.adapter.alpha",
    "layers_to_transform": "model.adapter.layers",
}


def attach(adapter: AdapterConfig, base: Any) -> PeftModel:
    """`base` with a fresh adapter.

    Raises:
        ModelError: see `lora_config`; or PEFT adapts no such modules of this architecture.
        ConfigError: see `lora_config`.
    """
    with warnings.catch_warnings():
        # PEFT asks transformers for a property by its older name.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        # GPT-2's layers keep inputs in rows, and PEFT corrects itself.
        warnings.filterwarnings("ignore", "fan_in_fan_out is set to False", UserWarning)
        # PEFT's ranks of fused experts are for parameters, and it looks for them among modules.
        warnings.filterwarnings("ignore", "The following (rank|alpha)_pattern keys did not match", RuntimeWarning)
        try:
            return cast(PeftModel, get_peft_model(cast(Any, base), lora_config(adapter, base)))
        except ValueError as error:
            # PEFT prints whole modules, over many lines, and then lists what it knows.
            reason = " ".join(str(error).split()).partition(". ")[0].removesuffix(".")
            mend = "another model" if adapter.targets == ALL_LINEAR else f"model.adapter.targets={ALL_LINEAR}"
            raise ModelError(f"model.adapter.targets={adapter.targets}: {reason}. Mend: {mend}.") from error


def lora_config(adapter: AdapterConfig, base: nn.Module) -> LoraConfig:
    """PEFT's configuration of an adapter on `base`.

    All linear layers are those that can carry a LoRA pair; where PEFT adapts fused experts, it is those as well.

    Raises:
        ModelError: a target names no module of `base` or one that cannot carry a LoRA pair, or there are no numbered
            layers to choose from.
        ConfigError: the adapter names layers that `base` has not.
    """
    # Any: PEFT types alpha as an integer, but divides by the rank, so any number will do.
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
        _keep_to_layers(config, base, layers, inside)
    return config


def _check_named(names: Collection[str], left_out: Mapping[str, str], base: nn.Module) -> None:
    """Refuse modules that the user names and that cannot carry a LoRA pair."""
    for name in names:
        whys = [why for place, why in left_out.items() if place.rpartition(".")[2] == name]
        if not whys:
            continue
        linear = [place for place, module in base.named_modules() if isinstance(module, nn.Linear | Conv1D)]
        others = [place.rpartition(".")[2] for place in linear if place not in left_out]
        kept = [other for other in names if other != name and other in others]
        raise ModelError(
            f"model.adapter.targets: {name} of {type(base).__name__} cannot carry an adapter: {whys[0]}. "
            f"Mend: model.adapter.targets={','.join(kept) or ALL_LINEAR}."
        )


def _keep_to_layers(config: LoraConfig, base: nn.Module, layers: list[int], inside: Collection[Place]) -> None:
    """Cut what PEFT would adapt in all layers down to `layers`, in place.

    PEFT itself chooses layers for modules alone: fused experts, which it targets as parameters, it adapts everywhere.
    `inside` are the linear modules of numbered layers, for which PEFT has no word in chosen layers.
    """
    convert_peft_config_for_transformers(config, base, None)
    if config.target_modules == ALL_LINEAR:
        # A name such as "0" would be that of other modules too.
        chosen = [place for place in inside if place.layer in layers]
        config.target_modules = sorted({p.owner if p.module.isdigit() else p.module for p in chosen})
    config.layers_to_transform = layers
    # Without it PEFT takes the last number of a name for the layer's.
    config.layers_pattern = sorted({re.split(r"\.\d+\.", p.owner)[0].rpartition(".")[2] for p in inside})
    if not config.target_parameters:
        return
    wanted = tuple(f".{name}" for name in config.target_parameters)
    found = [name for name, _ in base.named_parameters() if f".{name}".endswith(wanted)]
    config.target_parameters = [name for name in found if Place.of(name).layer in layers]
    if not config.target_parameters:
        config.rank_pattern, config.alpha_pattern = {}, {}


def _layers(adapter: AdapterConfig, base: nn.Module) -> tuple[list[int] | None, Collection[Place]]:
    """The chosen layers, None for all; and the linear modules of all numbered layers."""
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
    """Draw LoRA's A matrices from a generator of our own: the global one is never used. B stays zero."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        if "lora_A" in name:
            fresh = torch.empty(parameter.shape)
            nn.init.kaiming_uniform_(fresh, a=math.sqrt(5), generator=generator)
            parameter.data.copy_(fresh)
        elif "lora_B" in name:
            parameter.data.zero_()


def save(network: PeftModel, folder: Path, *, is_main: bool) -> None:
    """Write the adapter as PEFT safetensors and its configuration. All processes of a cut model must call.

    The file is marked where the model's privacy account lies in the folder already.
    """
    # "auto" would look the base model up on the hub to see whether its vocabulary grew; ours never does.
    state = get_peft_model_state_dict(network, save_embedding_layers=False)
    tensors = {name: distributed.full(tensor.detach()).cpu().contiguous() for name, tensor in state.items()}
    if not is_main:
        return
    folder.mkdir(parents=True, exist_ok=True)
    mark = {ACCOUNT_MARK: ACCOUNT_FILE} if (folder / ACCOUNT_FILE).is_file() else {}
    save_file(tensors, folder / ADAPTER_FILE, metadata={"format": "pt"} | mark)
    network.peft_config["default"].save_pretrained(str(folder))


def load(network: PeftModel, folder: Path) -> None:
    """Replace the adapter's weights by those of `folder`. Raises ModelError where they do not fit."""
    path = folder / ADAPTER_FILE
    if not path.is_file():
        raise ModelError(f"{folder} holds no adapter: {ADAPTER_FILE} is missing (only safetensors are read).")
    _check_config(network, folder)
    try:
        tensors = load_file(path)
        if broken := not_finite(tensors):
            raise ModelError(
                f"the adapter in {folder} has {counted(broken)} with numbers that are not finite ({listed(broken)})."
            )
        own = get_peft_model_state_dict(network, save_embedding_layers=False)
        cut = {name: distributed.cut_like(tensor, own[name]) for name, tensor in tensors.items() if name in own}
        result = set_peft_model_state_dict(network, tensors | cut)
    except (RuntimeError, ValueError, SafetensorError) as error:
        raise ModelError(f"the adapter in {folder} does not fit: {str(error).splitlines()[0]}") from error
    strange = [*result.unexpected_keys, *(key for key in result.missing_keys if "lora_" in key)]
    if strange:
        raise ModelError(
            f"the adapter in {folder} has other modules than this model's: {', '.join(strange[:3])} ... It was made "
            "with other model.adapter.targets or layers, or by an earlier version; one in the cache can be deleted."
        )


def _check_config(network: PeftModel, folder: Path) -> None:
    """Weights of one rank or scale mean something else under another; those of other layers have no place."""
    path, own = folder / CONFIG_FILE, network.peft_config["default"].to_dict()
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}.") from error
    for key, settings in DECISIVE.items():
        if saved.get(key, own.get(key)) != own.get(key):
            raise ModelError(
                f"the adapter in {folder} was made with {key}={saved[key]}, this model has {own[key]}; "
                f"set {settings} to the adapter's."
            )
