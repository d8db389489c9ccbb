"""Where in a model an adapter's matrix lies, read from its parameter's name."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Which matrix of which LoRA pair a parameter is.

    `owner` is the adapted module's full name, `module` its last part. Modules outside of numbered layers have layer -1.
    """

    layer: int
    owner: str
    matrix: str

    @property
    def module(self) -> str:
        # PEFT wraps the second parameter of a module around the first: `experts` and `experts.base_layer`.
        return self.owner.removesuffix(".base_layer").rpartition(".")[2]

    @property
    def kind(self) -> str:
        """The owner without its numbers: alike for the same module of every layer, and of every expert."""
        return re.sub(r"(?<=\.)\d+(?=\.)", "#", self.owner)

    @classmethod
    def of(cls, name: str) -> Place:
        """Of a parameter called ``...layers.3.self_attn.q_proj.lora_A.default.weight``, say."""
        owner, _, matrix = name.partition(".lora_")
        number = re.search(r"\.(\d+)\.", owner)
        return cls(int(number[1]) if number else -1, owner, f"lora_{matrix[:1]}")
