"""Gradient difference (Liu et al. 2022, "Continual Learning and Private Unlearning"; Maini et al. 2024, TOFU)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from duolearn_cli.config import setting
from duolearn_cli.methods.base import Objective, Tokens


@dataclass
class GradDiff:
    """Minimise ``-nll`` of the forget answers plus `retain_weight` times the nll of the retain answers."""

    retain_weight: float = setting(1.0, "weight of the retain loss", minimum=0)

    labels: ClassVar[str] = "answer"
    constrain_step: ClassVar[bool] = False

    def objective(self, tokens: Tokens) -> Objective:
        from duolearn_cli import losses

        nll = losses.nll(tokens.logits, tokens.labels)
        weight, is_forget = tokens.item_weight, tokens.is_forget.to(nll.dtype)
        return Objective(
            forget=-losses.weighted_mean(nll, weight * is_forget),
            preserve=self.retain_weight * losses.weighted_mean(nll, weight * (1 - is_forget)),
        )
