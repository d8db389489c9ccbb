"""A causal language model with one LoRA adapter. The reference is the adapter switched off, never a second model."""

from __future__ import annotations

import json
import math
import warnings
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from peft.utils import get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from duolearn_cli import attention, parallel
from duolearn_cli.config import AdapterConfig, ModelConfig, RuntimeConfig, target_names
from duolearn_cli.data.encoding import Batch
from duolearn_cli.errors import ModelError, nearest
from duolearn_cli.privacy_config import ACCOUNT_FILE, ACCOUNT_MARK
from duolearn_cli.weights import Weights

# Below this size bf16 saves no time on a CPU: the casts cost what the products gain.
BF16_FROM_PARAMETERS = 20_000_000
ADAPTER_FILE = "adapter_model.safetensors"


class LanguageModel:
    """Base model and adapter.

    `logits` computes predictions at labelled positions only: the head never runs on the rest of the text.
    """

    def __init__(self, network: PeftModel, tokenizer: Any, precision: str, device: torch.device) -> None:
        self.network, self.tokenizer, self.precision, self.device = network.to(device), tokenizer, precision, device
        base: Any = network.get_base_model()
        self.dtype, self.architecture = str(base.dtype), type(base).__name__
        self._decoder: Any = base.get_decoder()
        self._head = self._output_layer(base)
        self.vocabulary: int = self._head.weight.shape[0]
        self.num_base_parameters = sum(p.numel() for name, p in base.named_parameters() if "lora_" not in name)
        self._check_head(base)

    @property
    def adapter(self) -> list[nn.Parameter]:
        """The trainable parameters, in a fixed order."""
        return [parameter for parameter in self.network.parameters() if parameter.requires_grad]

    @property
    def named_adapter(self) -> list[tuple[str, nn.Parameter]]:
        """The same with their names."""
        return [pair for pair in self.network.named_parameters() if pair[1].requires_grad]

    def shard(self) -> None:
        """Cut the layers over the processes (FSDP2). Raises ModelError where the model cannot be cut."""
        parallel.shard(self._decoder, self.adapter, self.architecture)

    @property
    def num_adapter_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.adapter)

    def autocast(self) -> AbstractContextManager[Any]:
        if self.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    def hidden(self, batch: Batch, key_bias: Tensor | None = None) -> Tensor:
        """Last hidden states at the labelled positions. Shape: [n, width].

        `key_bias` [rows, length] is added to the attention scores of each token as a key, in every head and layer.

        Raises:
            ModelError: a packed batch or a bias, and the model takes no 4-D mask or none for texts of that length.
        """
        inputs = {"input_ids": batch.ids, "attention_mask": batch.mask}
        if batch.packed or key_bias is not None:
            attention.check_length(batch.longest, self._window, self.architecture)
            mask = attention.additive_mask(batch.segment, key_bias, self._decoder.dtype)
            inputs |= {"attention_mask": mask, "position_ids": batch.place}
        with self.autocast():
            states = self._decoder(**inputs, use_cache=False).last_hidden_state
        return states[batch.row, batch.position]

    def attention_outputs(self, count: int) -> AbstractContextManager[dict[nn.Module, Tensor]]:
        """What the attention of `count` evenly spaced layers writes in the last forward: see `attention.recorded`."""
        return attention.recorded(self._decoder, count, self.architecture)

    def check_attention(self, *, masks: bool, kept_layers: int) -> None:
        """Refuse early, with a ModelError, 4-D masks or kept layers that this model does not offer."""
        if masks:
            _ = self._window
        with self.attention_outputs(kept_layers):
            pass

    @cached_property
    def _window(self) -> int | None:
        """Length of the longest text for which 4-D masks hold, None for any."""
        with self.autocast():
            return attention.check_masks(self._decoder, self.architecture)

    def head(self, hidden: Tensor) -> Tensor:
        """Logits of hidden states, in float32. Shape: [n, width] -> [n, vocabulary]."""
        with self.autocast():
            return self._head(hidden).float()

    def pull(self, gradient: Tensor) -> Tensor:
        """The gradient at the hidden states of one at their logits. Shape: [n, vocabulary] -> [n, width]."""
        with self.autocast():
            return gradient.to(self._head.weight.dtype) @ self._head.weight

    def without_adapter(self) -> AbstractContextManager[Any]:
        """The base model, for as long as the context lasts."""
        return self.network.disable_adapter()

    def _output_layer(self, base: Any) -> nn.Linear:
        """What turns hidden states into logits; raises ModelError where it is trained, or more than a product."""
        head = base.get_output_embeddings()
        if not isinstance(head, nn.Linear):
            raise ModelError(
                f"the output layer of {self.architecture} is a {type(head).__name__}; allowed: a linear layer without "
                "an adapter. Mend: take the output layer out of model.adapter.targets."
            )
        return head

    def _check_head(self, base: Any) -> None:
        """Some architectures rescale or cap their logits after the head; our short cut would miss that."""
        ids = torch.tensor([[1, 2, 3]], device=self.device)
        with torch.no_grad():
            short = self._head(self._decoder(input_ids=ids).last_hidden_state)
            full = base(input_ids=ids).logits
        if not torch.allclose(short.float(), full.float(), atol=1e-2, rtol=1e-2):
            raise ModelError(f"{self.architecture} changes its logits after the output layer, which is not supported.")

    def save_adapter(self, folder: Path, *, is_main: bool = True) -> None:
        """Write the adapter as PEFT safetensors and its configuration. All processes of a cut model must call.

        The file is marked where the model's privacy account lies in the folder already.
        """
        # "auto" would look the base model up on the hub to see whether its vocabulary grew; ours never does.
        state = get_peft_model_state_dict(self.network, save_embedding_layers=False)
        tensors = {name: parallel.full(tensor.detach()).cpu().contiguous() for name, tensor in state.items()}
        if not is_main:
            return
        folder.mkdir(parents=True, exist_ok=True)
        mark = {ACCOUNT_MARK: ACCOUNT_FILE} if (folder / ACCOUNT_FILE).is_file() else {}
        save_file(tensors, folder / ADAPTER_FILE, metadata={"format": "pt"} | mark)
        self.network.peft_config["default"].save_pretrained(str(folder))

    def load_adapter(self, folder: Path) -> None:
        """Replace the adapter's weights by those of `folder`. Raises ModelError where they do not fit."""
        path = folder / ADAPTER_FILE
        if not path.is_file():
            raise ModelError(f"{folder} holds no adapter: {ADAPTER_FILE} is missing (only safetensors are read).")
        self._check_adapter_config(folder)
        try:
            tensors = load_file(path)
            own = get_peft_model_state_dict(self.network, save_embedding_layers=False)
            cut = {name: parallel.cut_like(tensor, own[name]) for name, tensor in tensors.items() if name in own}
            result = set_peft_model_state_dict(self.network, tensors | cut)
        except (RuntimeError, ValueError, SafetensorError) as error:
            raise ModelError(f"the adapter in {folder} does not fit: {str(error).splitlines()[0]}") from error
        strange = [*result.unexpected_keys, *(key for key in result.missing_keys if "lora_" in key)]
        if strange:
            raise ModelError(
                f"the adapter in {folder} has other modules than this model's: {', '.join(strange[:3])} ..."
            )

    def _check_adapter_config(self, folder: Path) -> None:
        """Weights of one rank or scale mean something else under another."""
        path, own = folder / "adapter_config.json", self.network.peft_config["default"].to_dict()
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ModelError(f"{path} cannot be read: {error}.") from error
        for key in ("r", "lora_alpha", "use_rslora", "use_dora"):
            if saved.get(key, own.get(key)) != own.get(key):
                raise ModelError(
                    f"the adapter in {folder} was made with {key}={saved[key]}, this model has {own[key]}; "
                    "set model.adapter.rank and model.adapter.alpha to the adapter's."
                )


def load_tokenizer(weights: Weights, config: ModelConfig) -> Any:
    """Load the model's tokenizer alone. Raises ModelError where it cannot be read or is not a fast one."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(weights.location, **weights.arguments())
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(
            f"model {config.name} at {weights.location} has no readable tokenizer: {str(error).splitlines()[0]}"
        ) from error
    if not tokenizer.is_fast:
        raise ModelError(f"model {config.name} has no fast tokenizer; token offsets are needed to find concepts.")
    return tokenizer


def load_model(weights: Weights, config: ModelConfig, runtime: RuntimeConfig, seed: int) -> LanguageModel:
    """Load the base model and give it a fresh adapter, initialised from `seed`.

    Raises:
        ModelError: the model cannot be read, or has no fast tokenizer.
    """
    if runtime.threads:
        torch.set_num_threads(runtime.threads)
    device = choose_device(runtime.device)
    tokenizer = load_tokenizer(weights, config)
    # A GPU holds the frozen base in half precision unless asked not to; the adapter is float32 everywhere.
    dtype = torch.bfloat16 if device.type == "cuda" and runtime.precision != "fp32" else torch.float32
    try:
        transformers_logging.disable_progress_bar()
        base = AutoModelForCausalLM.from_pretrained(
            weights.location,
            dtype=dtype,
            **weights.arguments(model=True),
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(
            f"model {config.name} at {weights.location} cannot be read: {str(error).splitlines()[0]}"
        ) from error
    with warnings.catch_warnings():
        # PEFT asks transformers for a property by its older name.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        try:
            network = get_peft_model(base, lora_config(config.adapter, base))
        except ValueError as error:
            raise ModelError(f"model.adapter.targets={config.adapter.targets}: {str(error).splitlines()[0]}") from error
    initialise(network, seed)
    return LanguageModel(network.eval(), tokenizer, choose_precision(runtime.precision, base, device), device)


def lora_config(adapter: AdapterConfig, base: nn.Module) -> LoraConfig:
    """Raises ModelError for a target that names no module of `base`."""
    # Any: PEFT types alpha as an integer, but divides by the rank, so any number will do.
    alpha: Any = adapter.alpha
    names = target_names(adapter)
    modules = {name.rpartition(".")[2] for name, _ in base.named_modules()}
    for name in names or ():
        if name not in modules:
            raise ModelError(f"model.adapter.targets: no module is called {name!r}{nearest(name, modules)}.")
    targets: Any = names or "all-linear"
    return LoraConfig(
        r=adapter.rank,
        lora_alpha=alpha,
        lora_dropout=adapter.dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )


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


def choose_device(wanted: str) -> torch.device:
    """Raises ModelError where CUDA is asked for and there is none."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ModelError("runtime.device=cuda: this machine shows no CUDA device; allowed here: auto, cpu.")
    if wanted == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def choose_precision(wanted: str, base: nn.Module, device: torch.device) -> str:
    """``auto`` is bf16 where the hardware multiplies it natively and the model is large enough to gain."""
    if wanted != "auto":
        return wanted
    large = sum(p.numel() for p in base.parameters()) >= BF16_FROM_PARAMETERS
    native = torch.cuda.is_bf16_supported() if device.type == "cuda" else _cpu_has_bf16()
    return "bf16" if large and native else "fp32"


def _cpu_has_bf16() -> bool:
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
