"""A causal language model with one LoRA adapter. The reference is the adapter switched off, never a second model."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
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


@dataclass(frozen=True, eq=False, slots=True)
class Mark:
    """Identifies one state of the adapter's weights. An older mark than the model's refers to weights that are gone.

    `origin` says where the weights come from, for messages.
    """

    origin: str


class LanguageModel:
    """A frozen base model with one LoRA adapter.

    Predictions are only computed at labelled positions: the output layer never runs on the rest of a text. Hidden
    states of the frozen layers below the adapter are cached from forward to forward, up to `cache_bytes`; `frozen_note`
    is a line about that for the log, or empty. `mark` is another one whenever weights have been loaded, drawn, sharded
    or trained.

    Raises:
        ModelError: the output layer is not supported, or texts of a batch influence each other.
    """

    def __init__(
        self, network: PeftModel, tokenizer: Any, precision: str, device: torch.device, cache_bytes: int = 0
    ) -> None:
        self.network, self.tokenizer, self.precision, self.device = network.to(device), tokenizer, precision, device
        self.mark = Mark("a fresh adapter")
        base: Any = network.get_base_model()
        self.dtype, self.architecture = str(base.dtype), type(base).__name__
        self._decoder: Any = output_layer.decoder_of(base)
        self._output = output_layer.find(base, self._decoder, self.architecture)
        self.vocabulary = self._output.vocabulary
        # The two may differ in length. An id is of use only if it has an embedding and a logit.
        self.num_rows: int = min(self.vocabulary, base.get_input_embeddings().weight.shape[0])
        self.context = context_of(base.config)
        self.num_base_parameters = quantization.num_parameters(base)
        self._check_batches()
        self._frozen, self.frozen_note = self._open_frozen(cache_bytes)

    @torch.no_grad()
    def checksum(self) -> str:
        """Return the SHA-256 of the adapter's weights; with shards, of this process's."""
        digest = hashlib.sha256()
        for name, parameter in self.network.named_parameters():
            # Found by name, not by requires_grad: while the adapter is off, PEFT sets that to False.
            if "lora_" in name:
                own = distributed.local(parameter.detach()).cpu().contiguous()
                digest.update(own.flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def renew_mark(self, origin: str) -> None:
        """Make handles of the earlier weights stale. Whoever changes weights in place calls this before it begins."""
        self.mark = Mark(origin)

    def initialise(self, seed: int) -> None:
        """Replace the adapter by a fresh one, drawn from `seed`. It adds exact zeros: the model is then the base."""
        self.renew_mark("a fresh adapter")
        lora.initialise(self.network, seed)

    @property
    def decoder(self) -> nn.Module:
        """The part of the model below the output layer."""
        return self._decoder

    @property
    def adapter(self) -> list[nn.Parameter]:
        """The trainable parameters, in a fixed order."""
        return [parameter for parameter in self.network.parameters() if parameter.requires_grad]

    @property
    def named_adapter(self) -> list[tuple[str, nn.Parameter]]:
        """The trainable parameters with their names, in the same order."""
        return [pair for pair in self.network.named_parameters() if pair[1].requires_grad]

    @cached_property
    def experts(self) -> dict[str, int]:
        """{full module name: number of experts} for fused experts that carry the adapter."""
        return reach.num_experts(self.network)

    def check_reached(self, parameters: Collection[Tensor]) -> None:
        """Raise a ModelError if a first backward missed modules of the adapter; see `adapter_reach.check_reached`."""
        reach.check_reached(self.network, parameters)

    @property
    def reach(self) -> reach.Reach:
        """How many weights of the model the adapter reaches."""
        return reach.reach(self.network, self._decoder)

    def shard(self) -> None:
        """Shard the layers over the processes (FSDP2). Raises ModelError if the model cannot be sharded."""
        self.renew_mark("a shard")
        distributed.shard(self._decoder, self.adapter, self.architecture)
        # No cache: FSDP gathers a layer's weights from all processes, so all must run every layer at the same time.
        self._frozen, self.frozen_note = None, ""

    @property
    def num_adapter_parameters(self) -> int:
        """The number of trainable parameters."""
        return sum(parameter.numel() for parameter in self.adapter)

    def autocast(self) -> AbstractContextManager[Any]:
        """Return a context in which matrix products use the configured precision."""
        if self.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    def hidden(self, batch: Batch, key_bias: Tensor | None = None) -> Tensor:
        """Return the last hidden states at the labelled positions, [n, width].

        `key_bias` [rows, length] is added to the attention scores of each token as a key, in every head and layer.

        Raises:
            ModelError: the batch is packed or has a bias, but the model takes no 4-D mask, or not for texts this long.
        """
        if batch.packed or key_bias is not None:
            attention.check_length(batch.longest, self._window, self.architecture)
        inputs = self._inputs(batch, key_bias)
        with self.autocast():
            # A key bias also changes the frozen layers, so their cached states would be wrong.
            if self._frozen and self._frozen.in_use and key_bias is None:
                states = self._frozen.run(batch, inputs)
            else:
                states = self._decoder(**inputs, use_cache=False).last_hidden_state
        return states[batch.row, batch.position]

    def _inputs(self, batch: Batch, key_bias: Tensor | None = None) -> dict[str, Tensor]:
        if not batch.packed and key_bias is None:
            return {"input_ids": batch.ids, "attention_mask": batch.mask}
        mask = attention.additive_mask(batch.segment, key_bias, self._decoder.dtype, batch.trunk)
        # Positions are given, because the model would count along the row, and texts in one row begin at zero each.
        return {"input_ids": batch.ids, "attention_mask": mask, "position_ids": batch.place}

    def without_frozen_cache(self, below: int | None = None) -> AbstractContextManager[None]:
        """Return a context in which all layers run in every forward.

        It is needed if weights change, or if a layer's activations are read. With `below`, the number of the lowest
        layer that is read, the cache stays in use if it only skips layers below that.
        """
        if self._frozen is None or (below is not None and below >= self._frozen.depth):
            return nullcontext()
        return self._frozen.disabled()

    def _open_frozen(self, limit: int) -> tuple[frozen_layers.FrozenLayers | None, str]:
        depth = min((Place.of(name).layer for name, _ in self.named_adapter), default=0)
        if depth < 1 or not limit:
            return None, ""
        with self.autocast():
            opened = frozen_layers.open_frozen_layers(self._decoder, depth, limit)
        what = f"the lowest {depth} layers carry no adapter"
        if opened is None:
            return None, f"{what}, but {self.architecture} does not run without them: their output is not cached"
        return opened, f"{what}: their output for a text is computed once and cached, up to {limit / 1e9:g} GB"

    def recomputed(self, wanted: bool) -> AbstractContextManager[None]:
        """Return a context with activation checkpointing if `wanted`; see `checkpointing.recomputed`."""
        return recomputed(self._decoder, self.architecture) if wanted else nullcontext()

    @contextmanager
    def attention_outputs(self, count: int) -> Iterator[dict[nn.Module, Tensor]]:
        """Collect the attention outputs of `count` evenly spaced layers; see `attention.recorded`."""
        lowest = min(attention.evenly_spaced(self._num_layers, count), default=self._num_layers)
        recording = attention.recorded(self._decoder, count, self.architecture)
        with self.without_frozen_cache(lowest), recording as outputs:
            yield outputs

    @contextmanager
    def activations(self, depth: float) -> Iterator[list[Tensor]]:
        """Collect the outputs of the layer at `depth`; see `activations.recorded`."""
        layer = activations.layer_at(depth, self._num_layers) if depth else self._num_layers
        with (
            self.without_frozen_cache(layer),
            activations.recorded(self._decoder, depth, self.architecture) as outputs,
        ):
            yield outputs

    def check_adapted(self, depth: float) -> None:
        """Raise a ModelError if the whole adapter lies above the layer at `depth`, and so cannot move its output."""
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
        """Check before training that the model supports what a method needs.

        Args:
            masks: the method needs 4-D masks, for texts of up to `longest` tokens.
            kept_layers: the number of layers whose attention outputs it preserves.
            longest: the length of the longest text.

        Raises:
            ModelError: the model does not support them.
        """
        if masks:
            attention.check_length(longest, self._window, self.architecture)
        with self.attention_outputs(kept_layers):
            pass

    def takes_branches(self, longest: int) -> bool:
        """Return whether texts of up to `longest` tokens may share their beginnings in a row."""
        return self._keeps_branches_apart and (self._window is None or longest <= self._window)

    @cached_property
    def _window(self) -> int | None:
        """The length of the longest text for which 4-D masks are exact, None for any. Raises ModelError if none is."""
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
            log.info(
                "%s cannot separate texts that share a row: evaluation uses one row for each text", self.architecture
            )
        return is_apart

    def _check_batches(self) -> None:
        """Raise a ModelError if the result for a text depends on later tokens or on other texts of its batch."""
        if not self._passes(isolation.shares_batches):
            raise ModelError(
                f"{self.architecture} computes a text differently if other texts follow it or are in its batch; "
                "allowed: models that only look back, and that can batch texts of different lengths."
            )

    @torch.no_grad()
    def _passes(self, probe: Callable[..., bool]) -> bool:
        """Return whether a probe of isolation.py passes."""

        def states(batch: Batch) -> Tensor:
            batch = batch.to(self.device)
            hidden = self._decoder(**self._inputs(batch), use_cache=False).last_hidden_state
            return hidden.flatten(0, 1)[batch.token]

        window, rounded = attention.window_of(self._decoder.config), self.is_rounded
        # Float32 weights are probed in float32, without autocast: rounding could hide a leak.
        with self.autocast() if rounded else nullcontext():
            return probe(states, self.num_embeddings, window, rounded=rounded)

    @property
    def is_rounded(self) -> bool:
        """Whether the weights have 16 bits. Results on other shapes then differ by more than float32's last digits."""
        return self._decoder.dtype not in (torch.float32, torch.float64)

    @property
    def num_embeddings(self) -> int:
        """The number of input embeddings; token ids are below it."""
        return self._decoder.get_input_embeddings().weight.shape[0]

    def head(self, hidden: Tensor) -> Tensor:
        """Return the logits of hidden states, at least in float32. Shapes: [n, width] -> [n, vocabulary]."""
        with self.autocast():
            return self._output.logits(hidden)

    def pull(self, gradient: Tensor, logits: Tensor) -> Tensor:
        """Turn a gradient at `logits` into one at the hidden states. Shapes: both [n, vocabulary] -> [n, width]."""
        with self.autocast():
            return self._output.pull(gradient, logits)

    def without_adapter(self) -> AbstractContextManager[Any]:
        """Return a context in which the model is the base model."""
        return self.network.disable_adapter()

    def save_adapter(self, folder: Path, *, is_main: bool = True) -> None:
        """Write the adapter into `folder`. All processes of a sharded model must call this."""
        lora.save(self.network, folder, is_main=is_main)

    def load_adapter(self, folder: Path) -> None:
        """Replace the adapter's weights by those in `folder`. Raises ModelError if they do not fit."""
        # Before loading: if it fails half way, no earlier handle may pass for the weights that are left.
        self.renew_mark(f"the adapter in {folder}")
        lora.load(self.network, folder)


def context_of(config: Any) -> int | None:
    """Return the longest text, in tokens, that a model of this configuration was made for; None if it does not say."""
    size = getattr(config.get_text_config(), "max_position_embeddings", None)
    return size if isinstance(size, int) and size > 0 else None
