"""A base model in 4 or 8 bits, by bitsandbytes on a GPU; it is frozen, and the adapter beside it stays in float32.

Dettmers et al., "QLoRA: Efficient Finetuning of Quantized LLMs" (NeurIPS 2023) and "LLM.int8()" (NeurIPS 2022).
"""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from duolearn_cli.config.schema import ModelConfig
from duolearn_cli.errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch import nn

# Bytes of a weight with its scales: blocks of 64 weights share one, and those are quantised again (QLoRA, section 3);
# in 8 bits each row has one.
BYTES = {"nf4": 0.516, "int8": 1.0}


def check_libraries(model: ModelConfig, gguf_file: str | None) -> None:
    """Refuse, without importing torch, what cannot be quantised here. Raises ModelError."""
    if model.quantization == "none":
        return
    if gguf_file:
        raise ModelError(
            f"model.quantization={model.quantization}: {gguf_file} is quantised in a way of its own, and is only read "
            "into full precision; allowed with it: none. Mend: model.path=FOLDER with safetensors."
        )
    if find_spec("bitsandbytes") is None:
        raise ModelError(
            f"model.quantization={model.quantization}: bitsandbytes is not installed; allowed without: none. "
            "Mend: pip install 'duolearn[quantization]'."
        )


def check_device(model: ModelConfig) -> None:
    """Refuse a quantised model on a machine that shows no GPU. Raises ModelError."""
    if model.quantization == "none":
        return
    import torch

    if not torch.cuda.is_available():
        raise ModelError(
            f"model.quantization={model.quantization}: needs a GPU, and this machine shows no CUDA device; allowed "
            "here: none."
        )


def arguments(model: ModelConfig, dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    """What `from_pretrained` is told; products are computed in `dtype`. The output layer stays as it is."""
    if model.quantization == "none":
        return {}
    from transformers import BitsAndBytesConfig

    # Without a list of modules to skip, transformers skips the output layer and what is tied to it.
    if model.quantization == "int8":
        config = BitsAndBytesConfig(load_in_8bit=True)
    else:
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    return {"quantization_config": config, "device_map": {"": device}}


def num_parameters(base: nn.Module) -> int:
    """Weights of the base model, without the adapter's; packed ones count as the weights that they hold."""
    packed = {name: getattr(p, "quant_state", None) for name, p in base.named_parameters()}
    return sum(
        math.prod(state.shape) if (state := packed[name]) is not None else parameter.numel()
        for name, parameter in base.named_parameters()
        if "lora_" not in name
    )
