"""A frozen base model in 4 or 8 bits, with bitsandbytes on a GPU. The adapter beside it stays in float32.

Sources: Dettmers et al., "QLoRA: Efficient Finetuning of Quantized LLMs" (NeurIPS 2023) and "LLM.int8()" (NeurIPS
2022).
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

# Bytes of a weight including its scales. In 4 bits, blocks of 64 weights share a scale, and the scales are quantised
# again (QLoRA, section 3). In 8 bits each row has a scale.
BYTES = {"nf4": 0.516, "int8": 1.0}


def check_libraries(model: ModelConfig, gguf_file: str | None) -> None:
    """Raise a ModelError if this model cannot be quantised with the installed libraries. Does not import torch."""
    if model.quantization == "none":
        return
    if gguf_file:
        raise ModelError(
            f"model.quantization={model.quantization}: {gguf_file} is already quantised in its own format, and can "
            "only be read into full precision; allowed with it: none. Fix: model.path=FOLDER with safetensors."
        )
    if find_spec("bitsandbytes") is None:
        raise ModelError(
            f"model.quantization={model.quantization}: bitsandbytes is not installed; allowed without it: none. "
            "Fix: pip install 'duolearn[quantization]'."
        )


def check_device(model: ModelConfig) -> None:
    """Raise a ModelError if the model is to be quantised and the machine has no GPU."""
    if model.quantization == "none":
        return
    import torch

    if not torch.cuda.is_available():
        raise ModelError(
            f"model.quantization={model.quantization}: this needs a GPU, but this machine has no CUDA device; allowed "
            "here: none."
        )


def arguments(model: ModelConfig, dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    """Return arguments for `from_pretrained`. Matrix products use `dtype`; the output layer is not quantised."""
    if model.quantization == "none":
        return {}
    from transformers import BitsAndBytesConfig

    # Without a list of modules to skip, transformers skips the output layer and weights that are tied to it.
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
    """Return the number of weights in the base model, without the adapter. Packed weights count individually."""
    packed = {name: getattr(p, "quant_state", None) for name, p in base.named_parameters()}
    return sum(
        math.prod(state.shape) if (state := packed[name]) is not None else parameter.numel()
        for name, parameter in base.named_parameters()
        if "lora_" not in name
    )
