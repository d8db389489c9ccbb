"""UNDIAL (Dong et al. 2024, "UNDIAL: Self-Distillation with Adjusted Logits for Robust Unlearning", section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from duolearn_cli.config.settings import setting
from duolearn_cli.errors import present
from duolearn_cli.methods.base import LEARNING_RATES, Search
from duolearn_cli.methods.retaining import Retaining
from duolearn_cli.methods.tokens import Tokens, of_forget
from duolearn_cli.model.readings import Reading

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class UNDIAL(Retaining):
    """Distil at forget answers towards the target's own prediction with the label's logit lowered by `gamma`."""

    gamma: float = setting(10.0, "how much to lower the label's logit; 0: plain distillation of the target", minimum=0)
    retain_weight: float = setting(0.0, "weight of the retain loss; the paper has none", minimum=0)

    search: ClassVar[Search] = {
        "method.gamma": [3.0, 10.0, 30.0],
        "method.retain_weight": [0.0, 1.0],
        "unlearn.learning_rate": LEARNING_RATES,
    }

    def reading(self, tokens: Tokens) -> Reading:
        from duolearn_cli.model import losses

        def divergence(logits: Tensor, labels: Tensor, reference: Tensor | None) -> Tensor:
            return losses.kl_to_lowered(present(reference, "the target's prediction"), logits, labels, self.gamma)

        return Reading(divergence, tokens.is_forget, "target")

    def forget_loss(self, tokens: Tokens, values: Tensor) -> Tensor:
        return tokens.mean_over(values, of_forget)
