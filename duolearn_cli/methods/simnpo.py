"""SimNPO (Fan et al. 2024, "Simplicity Prevails: Rethinking Negative Preference Optimization for LLM Unlearning").

Their objective is ``E_forget[-(2/beta) log sigmoid(-(beta/|y|) log p(y|x) - gamma)] + lambda E_retain[-log p(y|x)]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from duolearn_cli.config.settings import setting
from duolearn_cli.methods.base import LEARNING_RATES, Search
from duolearn_cli.methods.retaining import Retaining
from duolearn_cli.methods.tokens import Tokens, each_forget_item

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class SimNPO(Retaining):
    """Bounded ascent on the mean nll of each forget answer, with a margin in the place of a reference model."""

    beta: float = setting(2.5, "inverse temperature of the length-normalised loss", minimum=1e-6)
    gamma: float = setting(0.0, "margin: ascent slows down where beta times the mean nll passes it", minimum=0)

    search: ClassVar[Search] = {
        "method.beta": [0.7, 2.5, 4.5],
        "method.gamma": [0.0, 3.0],
        "unlearn.learning_rate": LEARNING_RATES,
    }

    def forget_loss(self, tokens: Tokens, values: Tensor) -> Tensor:
        import torch

        from duolearn_cli.model import losses

        owner, count = tokens.send(tokens.sequence[tokens.is_forget]), tokens.num_sequences
        # Retain items have no token here. Their 0 / 0 would be NaN in the mean, although their weight is zero.
        length = losses.per_sequence(torch.ones_like(values), owner, count).clamp(min=1)
        mean_nll = losses.per_sequence(values, owner, count) / length
        ascent = losses.margin_forget(mean_nll, self.beta, self.gamma)
        return tokens.mean(ascent, each_forget_item, owner=torch.arange(count))
