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
        return self.owner.rpartition(".")[2]

    @classmethod
    def of(cls, name: str) -> Place:
        """Of a parameter called ``...layers.3.self_attn.q_proj.lora_A.default.weight``, say."""
        owner, _, matrix = name.partition(".lora_")
        number = re.search(r"\.(\d+)\.", owner)
        return cls(int(number[1]) if number else -1, owner, f"lora_{matrix[:1]}")
