"""Weighted gradient ascent (Wang et al. 2025, "Rethinking LLM Unlearning Objectives: A Gradient Perspective").

Their objective is the mean of ``p(token)^beta log p(token)`` over forget answers, with the weight held constant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from duolearn_cli.config.settings import setting
from duolearn_cli.methods.base import LEARNING_RATES, Search
from duolearn_cli.methods.retaining import Retaining
from duolearn_cli.methods.tokens import Tokens, of_forget

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class WGA(Retaining):
    """Ascent on forget tokens, each weighted by its own confidence: what is forgotten already is left alone."""

    beta: float = setting(1.0, "exponent of the probability that weights a token; 0: plain ascent", minimum=0)

    search: ClassVar[Search] = {
        "method.beta": [0.5, 1.0, 5.0],
        "method.retain_weight": [1.0, 5.0],
        "unlearn.learning_rate": LEARNING_RATES,
    }

    def forget_loss(self, tokens: Tokens, values: Tensor) -> Tensor:
        from duolearn_cli.model import losses

        return -tokens.mean_over(losses.confidence(values, self.beta) * values, of_forget)
