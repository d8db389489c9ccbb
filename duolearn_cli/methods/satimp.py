"""SatImp (Yang et al. 2025, "Exploring Criteria of Loss Reweighting to Enhance LLM Unlearning").

Their objective is the mean of ``p^beta1 (1 - p)^beta2 log p`` over tokens of forget answers, with the weight held
constant: beta1 is for saturation, beta2 for importance.
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
class SatImp(Retaining):
    """Ascent on forget tokens, least on those that are forgotten already and on those that are certain."""

    saturation: float = setting(5.0, "beta1, power of p: less weight to what is forgotten already", minimum=0)
    importance: float = setting(1.0, "beta2, power of 1 - p: less weight to what is certain", minimum=0)

    search: ClassVar[Search] = {
        "method.saturation": [0.5, 1.0, 5.0],
        "method.importance": [0.1, 1.0],
        "unlearn.learning_rate": LEARNING_RATES,
    }

    def forget_loss(self, tokens: Tokens, values: Tensor) -> Tensor:
        from duolearn_cli.model import losses

        weight = losses.confidence(values, self.saturation) * losses.doubt(values, self.importance)
        return -tokens.mean_over(weight * values, of_forget)
