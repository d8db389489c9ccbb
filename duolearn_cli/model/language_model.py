"""A causal language model with one LoRA adapter. The reference is the adapter switched off, never a second model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn

from duolearn_cli.errors import ModelError
from duolearn_cli.model import (
    activations,
    attention,
    distributed,
    frozen_layers,
    isolation,
    lora,
    output_layer,
    quantization,
)
from duolearn_cli.model import adapter_reach as reach
from duolearn_cli.model.adapter_names import Place
from duolearn_cli.model.checkpointing import recomputed
from duolearn_cli.model.encoding import Batch

log = logging.getLogger("duolearn")


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
        self._decoder: Any = output_layer.decoder_of(base)
        self._output = output_layer.find(base, self._decoder, self.architecture)
        self.vocabulary = self._output.vocabulary
        self.num_rows: int = min(self.vocabulary, base.get_input_embeddings().weight.shape[0])
        self.context = context_of(base.config)
        self.num_base_parameters = quantization.num_parameters(base)
        self._check_batches()
        self._lower, self.kept_note = self._open_lower(kept_bytes)

    @torch.no_grad()
    def checksum(self) -> float:
        """The sum of the adapter's values, which a step of training changes. Of a cut model: of this process's part."""
        # By name: while the adapter is off, PEFT lets nothing be trained.
        own = (parameter for name, parameter in self.network.named_parameters() if "lora_" in name)
        return float(sum(distributed.local(parameter.detach()).double().sum() for parameter in own))

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
        distributed.shard(self._decoder, self.adapter, self.architecture)
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
        if batch.packed or key_bias is not None:
            attention.check_length(batch.longest, self._window, self.architecture)
        inputs = self._inputs(batch, key_bias)
        with self.autocast():
            if self._lower and self._lower.in_use and key_bias is None:
                states = self._lower.run(batch, inputs)
            else:
                states = self._decoder(**inputs, use_cache=False).last_hidden_state
        return states[batch.row, batch.position]

    def _inputs(self, batch: Batch, key_bias: Tensor | None = None) -> dict[str, Tensor]:
        if not batch.packed and key_bias is None:
            return {"input_ids": batch.ids, "attention_mask": batch.mask}
        mask = attention.additive_mask(batch.segment, key_bias, self._decoder.dtype, batch.trunk)
        return {"input_ids": batch.ids, "attention_mask": mask, "position_ids": batch.place}

    def without_kept_states(self, below: int | None = None) -> AbstractContextManager[None]:
        """All layers run in every forward, where one `below` this number is looked into, or weights are changed."""
        if self._lower is None or (below is not None and below >= self._lower.depth):
            return nullcontext()
        return self._lower.aside()

    def _open_lower(self, limit: int) -> tuple[frozen_layers.LowerStates | None, str]:
        depth = min((Place.of(name).layer for name, _ in self.named_adapter), default=0)
        if depth < 1 or not limit:
            return None, ""
        with self.autocast():
            opened = frozen_layers.open_states(self._decoder, depth, limit)
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

    def check_attention(self, *, masks: bool, kept_layers: int, longest: int = 0) -> None:
        """Refuse early, with a ModelError, kept layers and 4-D masks (of `longest` tokens) that it does not offer."""
        if masks:
            attention.check_length(longest, self._window, self.architecture)
        with self.attention_outputs(kept_layers):
            pass

    def takes_branches(self, longest: int) -> bool:
        """Whether texts may share their beginnings in rows of up to `longest` tokens."""
        return self._keeps_branches_apart and (self._window is None or longest <= self._window)

    @cached_property
    def _window(self) -> int | None:
        """Length of the longest text for which 4-D masks hold, None for any. Raises ModelError where none does."""
        attention.check_masks(self._decoder, self.architecture, lambda: self._passes(isolation.shares_rows))
        return attention.window_of(self._decoder.config)

    @cached_property
    def _keeps_branches_apart(self) -> bool:
        try:
            _ = self._window
            is_apart = self._passes(isolation.shares_beginnings)
        except (ModelError, *attention.REFUSALS):
            is_apart = False
        if not is_apart:
            log.info("%s does not keep apart texts that share a row: one text a row in evaluation", self.architecture)
        return is_apart

    def _check_batches(self) -> None:
        """Raises ModelError where a text changes with what comes after it, or with what it is batched with."""
        if not self._passes(isolation.shares_batches):
            raise ModelError(
                f"{self.architecture} computes a text otherwise where another one follows it or stands beside it in a "
                "batch; allowed: models that look back only, and that take texts of unequal length together."
            )

    @torch.no_grad()
    def _passes(self, probe: Callable[..., bool]) -> bool:
        """Whether a probe of isolation.py holds. Float32 weights are probed in float32: nothing hides in rounding."""

        def states(batch: Batch) -> Tensor:
            batch = batch.to(self.device)
            found = self._decoder(**self._inputs(batch), use_cache=False).last_hidden_state
            return found.flatten(0, 1)[batch.token]

        window, rounded = attention.window_of(self._decoder.config), self.is_rounded
        with self.autocast() if rounded else nullcontext():
            return probe(states, self.num_embeddings, window, rounded=rounded)

    @property
    def is_rounded(self) -> bool:
        """The weights have 16 bits: what is computed on other shapes differs by more than float32's last digits."""
        return self._decoder.dtype not in (torch.float32, torch.float64)

    @property
    def num_embeddings(self) -> int:
        """Token ids are below this number."""
        return self._decoder.get_input_embeddings().weight.shape[0]

    def head(self, hidden: Tensor) -> Tensor:
        """Logits of hidden states, in float32 at least. Shape: [n, width] -> [n, vocabulary]."""
        with self.autocast():
            return self._output.logits(hidden)

    def pull(self, gradient: Tensor, logits: Tensor) -> Tensor:
        """The gradient at the hidden states of one at their `logits`. Shapes: [n, vocabulary] -> [n, width]."""
        with self.autocast():
            return self._output.pull(gradient, logits)

    def without_adapter(self) -> AbstractContextManager[Any]:
        """The base model, for as long as the context lasts."""
        return self.network.disable_adapter()

    def save_adapter(self, folder: Path, *, is_main: bool = True) -> None:
        """Write the adapter into `folder`. All processes of a cut model must call."""
        lora.save(self.network, folder, is_main=is_main)

    def load_adapter(self, folder: Path) -> None:
        """Replace the adapter's weights by those of `folder`. Raises ModelError where they do not fit."""
        lora.load(self.network, folder)


def context_of(config: Any) -> int | None:
    """The longest text, in tokens, that a model of this configuration was made for; None: it tells none."""
    size = getattr(config.get_text_config(), "max_position_embeddings", None)
    return size if isinstance(size, int) and size > 0 else None
