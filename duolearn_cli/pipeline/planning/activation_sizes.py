"""What one forward leaves in memory for its backward, by formula: Llama-like blocks with LoRA on a frozen base.

A product with a frozen weight keeps nothing of its input; LoRA's A does, once for all modules that share the input (in
half precision each casts a copy of its own). A test of the same name counts what autograd saves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from duolearn_cli.config.model import AdapterConfig, target_names
from duolearn_cli.model.shape import MODULES, Shape


@dataclass(frozen=True, slots=True)
class Side:
    """Items of one kind in a forward: rows, their padded length, labelled tokens."""

    rows: int
    length: int
    labels: int

    @property
    def tokens(self) -> int:
        return self.rows * self.length


@dataclass(frozen=True, slots=True)
class Layer:
    """One block with its adapter; `half`: products are computed in bfloat16, and the rest in float32."""

    shape: Shape
    adapter: AdapterConfig
    half: bool
    casts_weights: bool

    def kept(self, sides: Sequence[Side], layers: int, *, followed: bool, again: bool) -> int:
        """Bytes that the graphs of `layers` blocks hold.

        Args:
            followed: inputs of the adapted layers are kept for single gradients.
            again: activation checkpointing: inputs of blocks alone, and one block of one side at a time.
        """
        whole = [self.graph(side) for side in sides]
        inputs = sum(side.tokens for side in sides) * self.inputs(again=again) if followed else 0
        if not again:
            return layers * (sum(whole) + inputs)
        return layers * (sum(4 * self.shape.width * side.tokens for side in sides) + inputs) + max(whole)

    def graph(self, side: Side) -> int:
        """Bytes that one block's graph holds of one side."""
        cast = 2 * (sum(i * o for i, o in self.shape.linears())) if self.casts_weights and side.rows else 0
        return side.tokens * self.token(side.length) + cast

    def token(self, length: int) -> int:
        """Bytes that a token leaves in a block, in rows of this `length`.

        Rows are taken to be padded: keys and values are then repeated for every head, and each block makes a mask.
        """
        shape, width = self.shape, self.shape.width
        shared = 4 * shape.attention + 3 * shape.inner + shape.inner * self._adapted("down_proj") + length
        shared += self.adapter.rank * self._adapted(*MODULES)
        if not self.half:
            return 4 * (shared + (2 + self._normed) * width)
        copies = width * self._adapted(*MODULES[:3], *MODULES[4:6]) + shape.attention * self._adapted("o_proj")
        # The residual stream, before and after attention, is in float32.
        return 2 * (shared + copies) + 4 * 2 * width

    def inputs(self, *, again: bool) -> int:
        """Bytes a token of the adapted layers' inputs, as far as the graph does not hold them already."""
        normed = 4 * self._normed * self.shape.width
        if not again:
            return normed if self.half else 0
        others = self.shape.attention * self._adapted("o_proj") + self.shape.inner * self._adapted("down_proj")
        return normed + (2 if self.half else 4) * (others + self.adapter.rank * self._adapted(*MODULES))

    def passing(self, sides: Sequence[Side]) -> int:
        """Bytes of gradients that pass through a block at once, of the larger side."""
        numbers = max(side.tokens for side in sides) * 4 * (self.shape.inner + self.shape.width)
        return (2 if self.half else 4) * numbers

    @property
    def _normed(self) -> int:
        """How many of the two norms' outputs are inputs of adapted layers."""
        return (self._adapted(*MODULES[:3]) > 0) + (self._adapted(*MODULES[4:6]) > 0)

    def _adapted(self, *names: str) -> int:
        return sum(name in (target_names(self.adapter) or MODULES) for name in names)
