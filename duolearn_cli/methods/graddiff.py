"""Gradient difference (Liu et al. 2022, "Continual Learning and Private Unlearning"; Maini et al. 2024, TOFU)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from duolearn_cli.fields import setting
from duolearn_cli.methods.base import Objective, Tokens, of_forget, of_retain


@dataclass
class GradDiff:
    """Minimise ``-nll`` of the forget answers plus `retain_weight` times the nll of the retain answers."""

    retain_weight: float = setting(1.0, "weight of the retain loss", minimum=0)

    labels: ClassVar[str] = "answer"

    def objective(self, tokens: Tokens) -> Objective:
        from duolearn_cli.readout import nll_at

        forget, retain = tokens.read(nll_at(tokens.is_forget), nll_at(~tokens.is_forget))
        return Objective(
            forget=-tokens.mean_over(forget, of_forget),
            preserve=self.retain_weight * tokens.mean_over(retain, of_retain),
        )
