"""Formulas for the activations that a forward saves for its backward: Llama-like blocks with LoRA on a frozen base.

A product with a frozen weight saves nothing of its input, because the weight needs no gradient. LoRA's A saves its
input, once for all modules that share it; in half precision each module saves a cast copy of its own. The test of the
same name compares the formulas with what autograd saves (within 8 %). docs/memory.md derives them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from duolearn_cli.config.model import AdapterConfig, target_names
from duolearn_cli.model.shape import MODULES, Shape


@dataclass(frozen=True, slots=True)
class Side:
    """The forget or retain items in a forward: number of rows, their padded length, number of labelled tokens."""

    rows: int
    length: int
    labels: int

    @property
    def tokens(self) -> int:
        return self.rows * self.length


@dataclass(frozen=True, slots=True)
class Layer:
    """One block with its adapter.

    Attributes:
        half: products are computed in bfloat16 and the rest in float32.
        casts_weights: each product casts its float32 weight, and the graph holds the cast.
    """

    shape: Shape
    adapter: AdapterConfig
    half: bool
    casts_weights: bool

    def saved(self, sides: Sequence[Side], layers: int, *, per_example: bool, checkpointing: bool) -> int:
        """Return the bytes that the graphs of `layers` blocks hold.

        Args:
            per_example: inputs of the adapted layers are recorded for per-example gradients.
            checkpointing: only the inputs of blocks are saved, and one block of one side is recomputed at a time.
        """
        whole = [self.graph(side) for side in sides]
        inputs = sum(side.tokens for side in sides) * self.inputs(checkpointing=checkpointing) if per_example else 0
        if not checkpointing:
            return layers * (sum(whole) + inputs)
        # The backward recomputes one block of one side at a time, hence the maximum and not the sum.
        return layers * (sum(4 * self.shape.width * side.tokens for side in sides) + inputs) + max(whole)

    def graph(self, side: Side) -> int:
        """Return the bytes that the graph of one block holds for one side."""
        # Each side has a forward of its own, and the cast of a frozen weight is not shared between them
        # (docs/memory.md).
        cast = 2 * (sum(i * o for i, o in self.shape.linears())) if self.casts_weights and side.rows else 0
        return side.tokens * self.token(side.length) + cast

    def token(self, length: int) -> int:
        """Return the bytes that a block saves per token, in rows of this `length`.

        Rows are assumed to be padded: keys and values are then repeated for every head, and each block makes a mask.
        """
        shape, width = self.shape, self.shape.width
        shared = 4 * shape.attention + 3 * shape.inner + shape.inner * self._adapted("down_proj") + length
        shared += self.adapter.rank * self._adapted(*MODULES)
        if not self.half:
            return 4 * (shared + (2 + self._normed) * width)
        copies = width * self._adapted(*MODULES[:3], *MODULES[4:6]) + shape.attention * self._adapted("o_proj")
        # The residual stream, before and after attention, stays in float32.
        return 2 * (shared + copies) + 4 * 2 * width

    def inputs(self, *, checkpointing: bool) -> int:
        """Return the bytes per token of the adapted layers' inputs that the graph does not hold already."""
        normed = 4 * self._normed * self.shape.width
        if not checkpointing:
            return normed if self.half else 0
        others = self.shape.attention * self._adapted("o_proj") + self.shape.inner * self._adapted("down_proj")
        return normed + (2 if self.half else 4) * (others + self.adapter.rank * self._adapted(*MODULES))

    def passing(self, sides: Sequence[Side]) -> int:
        """Return the bytes of gradients that pass through a block at once, for the larger side."""
        numbers = max(side.tokens for side in sides) * 4 * (self.shape.inner + self.shape.width)
        return (2 if self.half else 4) * numbers

    @property
    def _normed(self) -> int:
        """The number of norms (0 to 2) whose output is the input of an adapted layer."""
        return (self._adapted(*MODULES[:3]) > 0) + (self._adapted(*MODULES[4:6]) > 0)

    def _adapted(self, *names: str) -> int:
        return sum(name in (target_names(self.adapter) or MODULES) for name in names)
