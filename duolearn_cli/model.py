"""A causal language model with one LoRA adapter. The reference is the adapter switched off, never a second model."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from duolearn_cli import activations, adapters, attention, lower, parallel, quantization, reach
from duolearn_cli.adapters import initialise, lora_config
from duolearn_cli.config import ModelConfig, RuntimeConfig
from duolearn_cli.data.encoding import Batch
from duolearn_cli.errors import ModelError
from duolearn_cli.places import Place
from duolearn_cli.recompute import recomputed
from duolearn_cli.weights import Weights

# Below this size bf16 saves no time on a CPU: the casts cost what the products gain.
BF16_FROM_PARAMETERS = 20_000_000


class LanguageModel:
    """Base model and adapter.

    `logits` computes predictions at labelled positions only: the head never runs on the rest of the text. Of layers
    below the adapter up to `kept_bytes` of states are kept from forward to forward; `kept_note` tells how that went.
    """

    def __init__(
        self, network: PeftModel, tokenizer: Any, precision: str, device: torch.device, kept_bytes: int = 0
    ) -> None:
        self.network, self.tokenizer, self.precision, self.device = network.to(device), tokenizer, precision, device
        base: Any = network.get_base_model()
        self.dtype, self.architecture = str(base.dtype), type(base).__name__
        self._decoder: Any = decoder_of(base)
        self._head = self._output_layer(base)
        self.vocabulary: int = self._head.weight.shape[0]
        self.num_rows: int = min(self.vocabulary, base.get_input_embeddings().weight.shape[0])
        self.context = _context(base.config)
        self.num_base_parameters = quantization.num_parameters(base)
        self._check_head(base)
        self._lower, self.kept_note = self._open_lower(kept_bytes)

    @property
    def decoder(self) -> nn.Module:
        """The part below the output layer."""
        return self._decoder

    @property
    def adapter(self) -> list[nn.Parameter]:
        """The trainable parameters, in a fixed order."""
        return [parameter for parameter in self.network.parameters() if parameter.requires_grad]

    @property
    def named_adapter(self) -> list[tuple[str, nn.Parameter]]:
        """The same with their names."""
        return [pair for pair in self.network.named_parameters() if pair[1].requires_grad]

    @cached_property
    def experts(self) -> dict[str, int]:
        """Into how many matrices the LoRA pairs of fused experts are cut, by the module's full name."""
        return reach.num_experts(self.network)

    def check_reached(self, parameters: Collection[Tensor]) -> None:
        """Refuse, with a ModelError, an adapter of which a first backward missed modules: see `reach`."""
        reach.check_reached(self.network, parameters)

    @property
    def reach(self) -> reach.Reach:
        """Which share of the body's weights the adapter reaches."""
        return reach.reach(self.network, self._decoder)

    def shard(self) -> None:
        """Cut the layers over the processes (FSDP2). Raises ModelError where the model cannot be cut."""
        parallel.shard(self._decoder, self.adapter, self.architecture)
        # Each process must go through every layer when the others do.
        self._lower, self.kept_note = None, ""

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
            mask = attention.additive_mask(batch.segment, key_bias, self._decoder.dtype, batch.trunk)
            inputs |= {"attention_mask": mask, "position_ids": batch.place}
        with self.autocast():
            if self._lower and self._lower.in_use and key_bias is None:
                states = self._lower.run(batch, inputs)
            else:
                states = self._decoder(**inputs, use_cache=False).last_hidden_state
        return states[batch.row, batch.position]

    def without_kept_states(self, below: int | None = None) -> AbstractContextManager[None]:
        """All layers run in every forward, where one `below` this number is looked into, or weights are changed."""
        if self._lower is None or (below is not None and below >= self._lower.depth):
            return nullcontext()
        return self._lower.aside()

    def _open_lower(self, limit: int) -> tuple[lower.LowerStates | None, str]:
        depth = min((Place.of(name).layer for name, _ in self.named_adapter), default=0)
        if depth < 1 or not limit:
            return None, ""
        with self.autocast():
            opened = lower.open_states(self._decoder, depth, limit)
        what = f"the lowest {depth} layers carry no adapter"
        if opened is None:
            return None, f"{what}, but {self.architecture} does not run without them: nothing is kept of them"
        return opened, f"{what}: what they make of a text is computed once, and up to {limit / 1e9:g} GB of it are kept"

    def recomputed(self, wanted: bool) -> AbstractContextManager[None]:
        """Activation checkpointing of the decoder's layers, if `wanted`: see `recompute.recomputed`."""
        return recomputed(self._decoder, self.architecture) if wanted else nullcontext()

    @contextmanager
    def attention_outputs(self, count: int) -> Iterator[dict[nn.Module, Tensor]]:
        """What the attention of `count` evenly spaced layers writes in the last forward: see `attention.recorded`."""
        lowest = min(attention.evenly_spaced(self._num_layers, count), default=self._num_layers)
        recording = attention.recorded(self._decoder, count, self.architecture)
        with self.without_kept_states(lowest), recording as outputs:
            yield outputs

    @contextmanager
    def activations(self, depth: float) -> Iterator[list[Tensor]]:
        """What the layer at `depth` writes in the last forward: see `activations.recorded`."""
        layer = activations.layer_at(depth, self._num_layers) if depth else self._num_layers
        with (
            self.without_kept_states(layer),
            activations.recorded(self._decoder, depth, self.architecture) as outputs,
        ):
            yield outputs

    def check_adapted(self, depth: float) -> None:
        """Refuse, with a ModelError, activations at a `depth` up to which no adapter could move them."""
        lowest = min((Place.of(name).layer for name, _ in self.named_adapter), default=0)
        if depth and activations.layer_at(depth, self._num_layers) < lowest:
            raise ModelError(
                f"method.depth={depth:g}: the adapter begins at layer {lowest}, above layer "
                f"{activations.layer_at(depth, self._num_layers)}, so nothing could be steered; allowed: "
                f"more than {lowest / self._num_layers:.3g}, or lower layers in model.adapter.layers."
            )

    @property
    def _num_layers(self) -> int:
        return len(getattr(self._decoder, "layers", ()))

    def check_attention(self, *, masks: bool, kept_layers: int) -> None:
        """Refuse early, with a ModelError, 4-D masks or kept layers that this model does not offer."""
        if masks:
            _ = self._window
        with self.attention_outputs(kept_layers):
            pass

    def takes_branches(self, longest: int) -> bool:
        """Whether texts of up to `longest` tokens may share their beginnings in a row."""
        try:
            attention.check_length(longest, self._window, self.architecture)
        except ModelError:
            return False
        return True

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
        # Quantised layers are linear layers too, but `pull` needs the weights themselves.
        if not isinstance(head, nn.Linear) or not head.weight.is_floating_point():
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
        """Write the adapter into `folder`. All processes of a cut model must call."""
        adapters.save(self.network, folder, is_main=is_main)

    def load_adapter(self, folder: Path) -> None:
        """Replace the adapter's weights by those of `folder`. Raises ModelError where they do not fit."""
        adapters.load(self.network, folder)


def decoder_of(base: Any) -> nn.Module:
    """The part below the output layer. Raises ModelError where there is none that can be found."""
    found = base.get_decoder()
    # transformers gives the whole model where the part is not called after the class (Llama 4).
    found = getattr(base, "model", None) if found is base else found
    if not isinstance(found, nn.Module):
        raise ModelError(f"{type(base).__name__} shows no decoder below its output layer, which is not supported.")
    return found


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


def read_context(weights: Weights) -> int | None:
    """The longest text, in tokens, that the model was made for, from its configuration alone; None: it tells none."""
    try:
        return _context(AutoConfig.from_pretrained(weights.location, **weights.arguments()))
    except (OSError, ValueError, KeyError, ImportError):
        return None  # what cannot be read is refused where the model is loaded


def _context(config: Any) -> int | None:
    size = getattr(config.get_text_config(), "max_position_embeddings", None)
    return size if isinstance(size, int) and size > 0 else None


def load_model(weights: Weights, config: ModelConfig, runtime: RuntimeConfig, seed: int) -> LanguageModel:
    """Load the base model and give it a fresh adapter, initialised from `seed`.

    Raises:
        ModelError: the model cannot be read or quantised, or has no fast tokenizer.
    """
    if runtime.threads:
        torch.set_num_threads(runtime.threads)
    quantization.check_libraries(config, weights.gguf_file)
    quantization.check_device(config)
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
            **quantization.arguments(config, dtype, device),
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(
            f"model {config.name} at {weights.location} cannot be read: {str(error).splitlines()[0]}"
        ) from error
    if config.quantization == "none":
        # Which layers its kernels go through may depend on the device.
        base.to(device)
    with warnings.catch_warnings():
        # PEFT asks transformers for a property by its older name.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        try:
            network = get_peft_model(base, lora_config(config.adapter, base))
        except ValueError as error:
            raise ModelError(f"model.adapter.targets={config.adapter.targets}: {str(error).splitlines()[0]}") from error
    initialise(network, seed)
    precision, kept_bytes = choose_precision(runtime.precision, base, device), int(1e9 * runtime.hidden_cache_gb)
    return LanguageModel(network.eval(), tokenizer, precision, device, kept_bytes)


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
