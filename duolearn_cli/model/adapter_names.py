"""Read from a parameter's name which matrix of the adapter it is, and where in the model it lies."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a LoRA parameter: its layer, its module and its matrix.

    `owner` is the adapted module's full name and `module` the last part of it. `matrix` is ``lora_A`` or ``lora_B``.
    Modules outside of numbered layers have layer -1.
    """

    layer: int
    owner: str
    matrix: str

    @property
    def module(self) -> str:
        """The last part of the owner's name, such as ``q_proj``."""
        # If PEFT adapts two parameters of one module, it wraps one wrapper around the other, and the second one's name
        # is `experts.base_layer` instead of `experts`.
        return self.owner.removesuffix(".base_layer").rpartition(".")[2]

    @property
    def kind(self) -> str:
        """The owner's name without numbers: the same for a module of every layer, and of every expert."""
        return re.sub(r"(?<=\.)\d+(?=\.)", "#", self.owner)

    @classmethod
    def of(cls, name: str) -> Place:
        """Return the place of a parameter, named such as ``...layers.3.self_attn.q_proj.lora_A.default.weight``."""
        owner, _, matrix = name.partition(".lora_")
        number = re.search(r"\.(\d+)\.", owner)
        return cls(int(number[1]) if number else -1, owner, f"lora_{matrix[:1]}")
