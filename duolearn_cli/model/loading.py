"""Load a base model and give it a fresh adapter, on a suitable device and in a suitable precision."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoTokenizer

from duolearn_cli.config.schema import ModelConfig, RunConfig, RuntimeConfig
from duolearn_cli.errors import ModelError
from duolearn_cli.model import quantization
from duolearn_cli.model.encoding import Encoder
from duolearn_cli.model.language_model import LanguageModel, context_of
from duolearn_cli.model.lora import attach, initialise
from duolearn_cli.model.pretrained import load_base
from duolearn_cli.model.sizes import BF16_FROM_PARAMETERS
from duolearn_cli.model.weights import Weights


def load_tokenizer(weights: Weights, config: ModelConfig) -> Any:
    """Load only the model's tokenizer. Raises ModelError if it cannot be read or is not a fast one."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(weights.location, **weights.arguments())
    except Exception as error:  # transformers and the tokenizers in Rust have no common base class of errors
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"model {config.name} at {weights.location} has no readable tokenizer: {said}") from error
    if not tokenizer.is_fast:
        raise ModelError(f"model {config.name} has no fast tokenizer; token offsets are needed to find concepts.")
    return tokenizer


def load_encoder(weights: Weights, config: RunConfig) -> Encoder:
    """Return the encoder of the run's prompts, without loading the model. Raises ModelError, see `load_tokenizer`."""
    return Encoder(load_tokenizer(weights, config.model), config.prompt)


def read_context(weights: Weights) -> int | None:
    """Return the longest text, in tokens, that the model was made for, from its configuration; None if unknown."""
    try:
        return context_of(AutoConfig.from_pretrained(weights.location, **weights.arguments()))
    except Exception:
        return None  # loading the model will refuse what cannot be read, with a message


def load_model(weights: Weights, config: ModelConfig, runtime: RuntimeConfig, seed: int) -> LanguageModel:
    """Load the base model and give it a fresh adapter, initialised from `seed`.

    Raises:
        ModelError: the model cannot be read or quantised, its weights are incomplete, it has no fast tokenizer, or its
            architecture is not supported.
    """
    if runtime.threads:
        torch.set_num_threads(runtime.threads)
    quantization.check_libraries(config, weights.gguf_file)
    quantization.check_device(config)
    device = choose_device(runtime.device)
    tokenizer = load_tokenizer(weights, config)
    # On a GPU the frozen base is in half precision unless the user chose fp32. The adapter is always float32.
    dtype = torch.bfloat16 if device.type == "cuda" and runtime.precision != "fp32" else torch.float32
    base = load_base(weights, config.name, dtype, **quantization.arguments(config, dtype, device))
    if config.quantization == "none":
        # Before the adapter is attached: that runs the model to see which modules its kernels use, which may depend on
        # the device.
        base.to(device)
    network = attach(config.adapter, base)
    # transformers has put a path of this machine there, which nobody else could follow.
    saved = network.peft_config["default"]
    saved.base_model_name_or_path, saved.revision = weights.reference(config.name)
    initialise(network, seed)
    precision, cache_bytes = choose_precision(runtime.precision, base, device), int(1e9 * runtime.hidden_cache_gb)
    return LanguageModel(network.eval(), tokenizer, precision, device, cache_bytes)


def choose_device(wanted: str) -> torch.device:
    """Return the configured device; ``auto`` is CUDA if there is one. Raises ModelError for CUDA without a device."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ModelError("runtime.device=cuda: this machine has no CUDA device; allowed here: auto, cpu.")
    if wanted == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def choose_precision(wanted: str, base: nn.Module, device: torch.device) -> str:
    """Return the precision of matrix products, ``fp32`` or ``bf16``.

    ``auto`` is bf16 if the hardware multiplies it natively and the model is large enough to gain from it.
    """
    if wanted != "auto":
        return wanted
    large = sum(p.numel() for p in base.parameters()) >= BF16_FROM_PARAMETERS
    native = torch.cuda.is_bf16_supported() if device.type == "cuda" else _cpu_has_bf16()
    return "bf16" if large and native else "fp32"


def _cpu_has_bf16() -> bool:
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
