"""Gradient difference (Liu et al. 2022, "Continual Learning and Private Unlearning"; Maini et al. 2024, TOFU)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from duolearn_cli.methods.base import LEARNING_RATES, Search
from duolearn_cli.methods.retaining import Retaining
from duolearn_cli.methods.tokens import Tokens, of_forget

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class GradDiff(Retaining):
    """Minimise ``-nll`` of the forget answers plus the retain loss; with ``retain=kl`` it is TOFU's KL minimisation."""

    search: ClassVar[Search] = {
        "method.retain": ["nll", "kl"],
        "method.retain_weight": [1.0, 5.0],
        "unlearn.learning_rate": LEARNING_RATES,
    }

    def forget_loss(self, tokens: Tokens, values: Tensor) -> Tensor:
        return -tokens.mean_over(values, of_forget)
