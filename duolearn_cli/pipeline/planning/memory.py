"""How much memory unlearning needs, before anything is loaded: from the model's shape, the items and the settings.

Counted is what is there at once in the largest step. docs/memory.md says where the formulas come from, and compares
them with what processes were measured to need.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from duolearn_cli.config.components import component
from duolearn_cli.config.layers import chosen_layers
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.config.unlearning import OPTIMIZERS
from duolearn_cli.data.items import Item
from duolearn_cli.methods.base import Method, geometry_of, sparsity_of
from duolearn_cli.model.quantization import BYTES
from duolearn_cli.model.shape import Shape, read_shape
from duolearn_cli.model.sizes import BF16_FROM_PARAMETERS, LOGITS_PER_CHUNK
from duolearn_cli.model.weights import find_weights
from duolearn_cli.pipeline.planning.activation_sizes import Layer, Side
from duolearn_cli.pipeline.planning.machine import has_bf16, uses_gpu
from duolearn_cli.pipeline.privacy_plan import group
from duolearn_cli.pipeline.study import Study

# English text with its prompt; and the labelled tokens of an answer.
TOKENS_PER_CHARACTER, PROMPT_CHARACTERS, ANSWER_TOKENS = 0.25, 19, 8
# Resident without a model: Python, PyTorch, transformers, hierarchy, data, and what computing references has left
# behind; on a GPU what CUDA needs.
LIBRARIES, CUDA = 690 << 20, 500 << 20
# Tensors like the logits of a chunk, and like the hidden states of all labels, that are there at once.
LOGITS_AT_ONCE, STATES_AT_ONCE = 4, 6
# The two sides of a step; and by how many standard deviations more units of a side join the largest private step: of
# both together those are two.
SETS, DEVIATIONS = ("forget", "retain"), 1.5
# Vectors over the coordinates that may change at an update, beside what optimiser and constraint keep.
VECTORS_OF_UPDATE = 9
# What the allocator holds beside live tensors, of those that come and go.
SLACK = 1.15


@dataclass(frozen=True)
class Memory:
    """Bytes by part."""

    parts: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.parts.values())


@dataclass(frozen=True, eq=False)
class Planner:
    """Predicts for one study.

    Attributes:
        lengths: those of its items to forget and to retain, in tokens.
        largest: how many items the largest unit of privacy has on each side; 1 without privacy.
    """

    config: RunConfig
    shape: Shape
    method: Method
    lengths: tuple[Sequence[int], Sequence[int]]
    on_gpu: bool
    largest: tuple[int, int] = (1, 1)

    @classmethod
    def of(cls, study: Study) -> Planner | None:
        """None for a model that is not here, a mixture of experts, or a configuration that tells no sizes."""
        config, request = study.config, study.request
        shape = read_shape(find_weights(config.model, config.cache_dir))
        if shape is None or shape.is_mixture:
            return None
        forget, retain = ([_tokens(item, config) for item in side] for side in (request.forget, request.retain))
        method, largest = component(config.method, config.plugins), (1, 1)
        if config.privacy.epsilon is not None:
            largest = (_largest_unit(request.forget, config), _largest_unit(request.retain, config))
        return cls(config, shape, method, (forget, retain), uses_gpu(config.runtime), largest)

    @property
    def units(self) -> list[int]:
        """What a step has of each side: items, or protected units, of which chance may bring more than are expected."""
        privacy, found = self.config.privacy, []
        for name, own in zip(SETS, self.lengths, strict=True):
            count: float = self.config.unlearn.batch_size
            if self._protects(name):
                expected = privacy.batch_size or self.config.unlearn.batch_size
                count = expected + DEVIATIONS * math.sqrt(expected) * (privacy.sampling == "poisson")
            found.append(math.ceil(min(count, len(own)) / self.config.runtime.num_processes))
        return found

    def predict(self, micro_batch: int | None) -> Memory:
        """What a process needs at most while it makes steps, with so many items a forward; None: all at once."""
        sides, adapter, changed = self.sides(micro_batch), self._adapter, self._changed
        kept, singles, remembered = self._kept(sides), self._single_gradients(sides), self._remembered()
        # Sums of both sides, and gradients by parameter and flat; then what passes through the graph.
        in_graph = 4 * (2 * changed + 2 * adapter) + max(self._readout(sides), self._layer.passing(sides))
        # The constraint squares what it remembers.
        in_update = 4 * changed * (VECTORS_OF_UPDATE + remembered)
        parts = {
            "libraries": CUDA if self.on_gpu else LIBRARIES,
            "model": self._model(),
            "adapter": 4 * (2 * adapter + changed),
            "optimiser and constraint": 4 * changed * (self._moments() + remembered),
            "references": 0 if self.on_gpu else self._references(),
            "single gradients": SLACK * singles,
            "activations": SLACK * kept,
            "passing": SLACK * max(in_graph, in_update - kept - singles),
        }
        return Memory({name: int(size) for name, size in parts.items()})

    def sides(self, micro_batch: int | None) -> list[Side]:
        """The largest forward of a step: the longest text of a side is in one of its batches."""
        total = sum(self.units)
        # Micro-batches take turns with the units of a step.
        parts = math.ceil(total / min(micro_batch or total, total))
        return [
            self._side(min(len(own), math.ceil(count / parts) * (each if self._protects(name) else 1)), own)
            for name, count, own, each in zip(SETS, self.units, self.lengths, self.largest, strict=True)
        ]

    def _side(self, rows: int, lengths: Sequence[int]) -> Side:
        if not rows:
            return Side(0, 0, 0)
        longest, tokens = max(lengths), int(rows * sum(lengths) / len(lengths))
        labels = tokens if self.method.labels == "text" else rows * ANSWER_TOKENS
        if self.config.unlearn.packing:
            width = max(longest, min(self.config.prompt.max_tokens, tokens))
            return Side(-(-tokens // width), width, labels)
        return Side(rows, longest, labels)

    @property
    def _is_private(self) -> bool:
        return self.config.privacy.epsilon is not None

    def _protects(self, name: str) -> bool:
        return self._is_private and self.config.privacy.protect in ("both", name)

    @property
    def half(self) -> bool:
        """Whether products are computed in bfloat16, as `choose_precision` of model_loading.py decides later."""
        if self.config.runtime.precision != "auto":
            return self.config.runtime.precision == "bf16"
        return self.shape.parameters() >= BF16_FROM_PARAMETERS and (self.on_gpu or has_bf16())

    @cached_property
    def _layer(self) -> Layer:
        # Weights are cast to half precision anew in each product of a float32 model, and the graph holds them.
        return Layer(self.shape, self.config.model.adapter, self.half, casts_weights=self.half and not self.on_gpu)

    @cached_property
    def _adapter(self) -> int:
        return self.shape.adapter_parameters(self.config.model.adapter)

    @property
    def _changed(self) -> int:
        sparse = sparsity_of(self.method)
        return self._adapter if sparse.unit == "none" else min(self._adapter, int(sparse.fraction * self._weights))

    @property
    def _weights(self) -> int:
        return self.shape.parameters()

    def _model(self) -> float:
        linear = self.shape.layers * sum(i * o for i, o in self.shape.linears())
        width = 2 if self.on_gpu and self.config.runtime.precision != "fp32" else 4
        return BYTES.get(self.config.model.quantization, width) * linear + width * (self._weights - linear)

    def _moments(self) -> int:
        """Vectors that the optimiser keeps."""
        settings = self.config.unlearn
        if settings.optimizer in ("AdamW", "Adam", "NAdam"):
            return 2
        return (OPTIMIZERS[settings.optimizer] != "") + (settings.momentum > 0)

    def _remembered(self) -> int:
        """Vectors that the constraint keeps: the basis with the gradient at hand, and the Fisher."""
        geometry = geometry_of(self.method)
        if geometry.space == "none":
            return 0
        return (1 + geometry.basis_size if geometry.basis_size else 0) + geometry.needs_fisher

    def _references(self) -> int:
        """Hidden states of base and target at every label of every item, in float32."""
        labels = (sum(own) if self.method.labels == "text" else ANSWER_TOKENS * len(own) for own in self.lengths)
        return 2 * 4 * sum(labels) * self.shape.width

    def _single_gradients(self, sides: Sequence[Side]) -> int:
        """Gradients of single items in a private step: those of a forward, as rows by side and put together."""
        rows = sum(side.rows for name, side in zip(SETS, sides, strict=True) if self._protects(name))
        return 2 * 4 * self._adapter * rows

    def _kept(self, sides: Sequence[Side]) -> int:
        """What the graphs of both sides hold for the backward; layers below the adapter hold nothing."""
        lowest = chosen_layers(self.config.model.adapter.layers, self.shape.layers)[0]
        followed = self._is_private or geometry_of(self.method).needs_fisher
        again = self.config.unlearn.checkpointing
        return self._layer.kept(sides, self.shape.layers - lowest, followed=followed, again=again)

    def _readout(self, sides: Sequence[Side]) -> int:
        """Logits of a chunk and what is computed of them; hidden states, both references, the readings' gradients."""
        labels = sum(side.labels for side in sides)
        chunk = min(LOGITS_PER_CHUNK, labels * self.shape.vocabulary)
        # In half precision the output layer is cast for each product.
        cast = 2 * self.shape.vocabulary * self.shape.width if self._layer.casts_weights else 0
        return 4 * (LOGITS_AT_ONCE * chunk + STATES_AT_ONCE * labels * self.shape.width) + cast


def _largest_unit(items: Sequence[Item], config: RunConfig) -> int:
    return max(map(len, group(items, config).values()), default=1)


def _tokens(item: Item, config: RunConfig) -> int:
    """About how many tokens an item's text has, as it is used."""
    return min(config.prompt.max_tokens, estimated_tokens(item, config))


def estimated_tokens(item: Item, config: RunConfig) -> int:
    """About how many tokens an item's text has whole."""
    answer = item.answer_text if config.prompt.form == "cloze" else "".join(item.options)
    characters = PROMPT_CHARACTERS + len(item.question) + len(answer)
    return max(2, round(TOKENS_PER_CHARACTER * characters))
