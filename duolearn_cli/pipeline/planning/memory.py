"""The memory that unlearning needs, predicted from the model's shape, the items and the settings.

The prediction is the peak of the largest step. docs/memory.md derives the formulas and compares predictions with
measured processes.
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
from duolearn_cli.methods.base import Method
from duolearn_cli.model.quantization import BYTES
from duolearn_cli.model.shape import Shape, read_shape
from duolearn_cli.model.sizes import BF16_FROM_PARAMETERS, LOGITS_PER_CHUNK
from duolearn_cli.model.weights import find_weights
from duolearn_cli.pipeline.planning.activation_sizes import Layer, Side
from duolearn_cli.pipeline.planning.machine import has_bf16, uses_gpu
from duolearn_cli.pipeline.privacy_plan import group
from duolearn_cli.pipeline.study import Study

# Tokens per character of English text, characters of the prompt around it, labelled tokens of an answer.
TOKENS_PER_CHARACTER, PROMPT_CHARACTERS, ANSWER_TOKENS = 0.25, 19, 8
# Resident without a model: Python, PyTorch, transformers, hierarchy, data, and what the allocator retains after the
# references were computed. On a GPU: what CUDA needs (a guess).
LIBRARIES, CUDA = 690 << 20, 500 << 20
# The number of live tensors of the size of a chunk's logits, and of the size of all labels' hidden states.
LOGITS_AT_ONCE, STATES_AT_ONCE = 4, 6
# The largest private step has this many standard deviations more units on each side than expected: about two for both
# sides together.
SETS, DEVIATIONS = ("forget", "retain"), 1.5
# Live vectors over the changing coordinates during an update, apart from the state of optimiser and constraint.
VECTORS_OF_UPDATE = 9
# The allocator holds this many times the live bytes of short-lived tensors.
SLACK = 1.15


@dataclass(frozen=True)
class Memory:
    """Predicted bytes by part, in the order of docs/memory.md."""

    parts: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.parts.values())


@dataclass(frozen=True, eq=False)
class Planner:
    """Predicts the memory of unlearning for one study.

    Attributes:
        lengths: the estimated lengths of forget and retain items, in tokens.
        largest: the number of items in the largest privacy unit of each side; 1 without privacy.
    """

    config: RunConfig
    shape: Shape
    method: Method
    lengths: tuple[Sequence[int], Sequence[int]]
    on_gpu: bool
    largest: tuple[int, int] = (1, 1)

    @classmethod
    def of(cls, study: Study) -> Planner | None:
        """Return the planner, or None for a missing model, a mixture of experts or a configuration without sizes."""
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
        """The number of items or protected units of each side in the largest step of one process.

        Poisson sampling draws a random number of protected units, so more than expected are counted.
        """
        privacy, counts = self.config.privacy, []
        for name, own in zip(SETS, self.lengths, strict=True):
            settings = self.config.unlearn
            # Items of earlier requests join the forget items.
            count: float = (
                settings.batch_size + settings.rehearse
                if name == "forget"
                else settings.retain_batch_size or settings.batch_size
            )
            if self._protects(name):
                expected = privacy.batch_size or self.config.unlearn.batch_size
                count = expected + DEVIATIONS * math.sqrt(expected) * (privacy.sampling == "poisson")
            counts.append(math.ceil(min(count, len(own)) / self.config.runtime.num_processes))
        return counts

    def predict(self, micro_batch: int | None) -> Memory:
        """Predict the peak memory of a process during steps with `micro_batch` items per forward; None: all items."""
        sides, adapter, changed = self.sides(micro_batch), self._adapter, self._changed
        saved, per_example, remembered = self._saved(sides), self._per_example(sides), self._remembered()
        # Peak in a backward: sums of both sides, gradients by parameter and flat, and what passes through the graph.
        in_graph = 4 * (2 * changed + 2 * adapter) + max(self._readout(sides), self._layer.passing(sides))
        # Peak during an update, when the graph is gone: the constraint squares the vectors that it remembers.
        in_update = 4 * changed * (VECTORS_OF_UPDATE + remembered)
        parts = {
            "libraries": CUDA if self.on_gpu else LIBRARIES,
            "model": self._model(),
            "adapter": 4 * (2 * adapter + changed),
            "optimiser and constraint": 4 * changed * (self._moments() + remembered),
            "references": 0 if self.on_gpu else self._references(),
            "single gradients": SLACK * per_example,
            "activations": SLACK * saved,
            # Whichever peak is higher. Graph and per-example gradients do not exist during an update.
            "passing": SLACK * max(in_graph, in_update - saved - per_example),
        }
        return Memory({name: int(size) for name, size in parts.items()})

    def sides(self, micro_batch: int | None) -> list[Side]:
        """Return the sides of the largest forward of a step; its rows are padded to the longest text of each side."""
        total = sum(self.units)
        # `gradients.cut` deals the units out in turn, so each micro-batch has its share of both sides.
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
        """Whether products are computed in bfloat16, as `choose_precision` decides when the model is loaded."""
        if self.config.runtime.precision != "auto":
            return self.config.runtime.precision == "bf16"
        return self.shape.parameters() >= BF16_FROM_PARAMETERS and (self.on_gpu or has_bf16())

    @cached_property
    def _layer(self) -> Layer:
        # With float32 weights, each product casts its weight to half precision, and the graph holds the cast.
        return Layer(self.shape, self.config.model.adapter, self.half, casts_weights=self.half and not self.on_gpu)

    @cached_property
    def _adapter(self) -> int:
        return self.shape.adapter_parameters(self.config.model.adapter)

    @property
    def _changed(self) -> int:
        sparse = self.method.sparsity
        return self._adapter if sparse.unit == "none" else min(self._adapter, int(sparse.fraction * self._weights))

    @property
    def _weights(self) -> int:
        return self.shape.parameters()

    def _model(self) -> float:
        linear = self.shape.layers * sum(i * o for i, o in self.shape.linears())
        width = 2 if self.on_gpu and self.config.runtime.precision != "fp32" else 4
        return BYTES.get(self.config.model.quantization, width) * linear + width * (self._weights - linear)

    def _moments(self) -> int:
        """Return the number of vectors in the optimiser's state."""
        settings = self.config.unlearn
        if settings.optimizer in ("AdamW", "Adam", "NAdam"):
            return 2
        return (OPTIMIZERS[settings.optimizer] != "") + (settings.momentum > 0)

    def _remembered(self) -> int:
        """Return the number of vectors in the constraint's state: the basis with this step's gradient, the Fisher."""
        geometry = self.method.geometry
        if geometry.space == "none":
            return 0
        return (1 + geometry.basis_size if geometry.basis_size else 0) + geometry.needs_fisher

    def _references(self) -> int:
        """Return the bytes of hidden states of base and target at every label of every item, in float32."""
        # The references of every item are computed before the first step and stay on the CPU, so the batch size does
        # not matter.
        labels = (sum(own) if self.method.labels == "text" else ANSWER_TOKENS * len(own) for own in self.lengths)
        return 2 * 4 * sum(labels) * self.shape.width

    def _per_example(self, sides: Sequence[Side]) -> int:
        """Return the bytes of a forward's per-example gradients in a private step: rows by group, and concatenated."""
        rows = sum(side.rows for name, side in zip(SETS, sides, strict=True) if self._protects(name))
        return 2 * 4 * self._adapter * rows

    def _saved(self, sides: Sequence[Side]) -> int:
        """Return the bytes that the graphs of both sides save for the backward; layers below the adapter save none."""
        lowest = chosen_layers(self.config.model.adapter.layers, self.shape.layers)[0]
        per_example = self._is_private or self.method.geometry.needs_fisher
        checkpointing = self.config.unlearn.checkpointing
        layers = self.shape.layers - lowest
        return self._layer.saved(sides, layers, per_example=per_example, checkpointing=checkpointing)

    def _readout(self, sides: Sequence[Side]) -> int:
        """Return the bytes of a chunk's logits and their derivatives, hidden states, references and gradients."""
        labels = sum(side.labels for side in sides)
        chunk = min(LOGITS_PER_CHUNK, labels * self.shape.vocabulary)
        # In half precision, each product also casts the output layer.
        cast = 2 * self.shape.vocabulary * self.shape.width if self._layer.casts_weights else 0
        return 4 * (LOGITS_AT_ONCE * chunk + STATES_AT_ONCE * labels * self.shape.width) + cast


def _largest_unit(items: Sequence[Item], config: RunConfig) -> int:
    return max(map(len, group(items, config).values()), default=1)


def _tokens(item: Item, config: RunConfig) -> int:
    """Estimate the number of tokens of an item's text after cutting."""
    return min(config.prompt.max_tokens, estimated_tokens(item, config))


def estimated_tokens(item: Item, config: RunConfig) -> int:
    """Estimate the number of tokens of an item's text before cutting: reading the tokenizer would take a second."""
    answer = item.answer_text if config.prompt.form == "cloze" else "".join(item.options)
    characters = PROMPT_CHARACTERS + len(item.question) + len(answer)
    return max(2, round(TOKENS_PER_CHARACTER * characters))
