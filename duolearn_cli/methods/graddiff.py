"""Gradient difference (Liu et al. 2022, "Continual Learning and Private Unlearning"; Maini et al. 2024, TOFU)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from duolearn_cli.fields import setting
from duolearn_cli.methods.base import Objective, Tokens


@dataclass
class GradDiff:
    """Minimise ``-nll`` of the forget answers plus `retain_weight` times the nll of the retain answers."""

    retain_weight: float = setting(1.0, "weight of the retain loss", minimum=0)

    labels: ClassVar[str] = "answer"

    def objective(self, tokens: Tokens) -> Objective:
        from duolearn_cli import losses

        nll = losses.nll(tokens.logits, tokens.labels)
        return Objective(
            forget=-tokens.mean(nll, lambda t: t.item_weight * t.is_forget),
            preserve=self.retain_weight * tokens.mean(nll, lambda t: t.item_weight * ~t.is_forget),
        )
