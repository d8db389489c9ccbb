"""Negative preference optimisation (Zhang et al. 2024, eq. 3), with a retain loss (their NPO+RT and NPO+KL)."""

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
class NPO(Retaining):
    """Bounded ascent on whole forget answers against the target; the reference is cached, never a second model."""

    beta: float = setting(0.1, "inverse temperature: larger stays nearer to the target", minimum=1e-6)

    search: ClassVar[Search] = {
        "method.beta": [0.05, 0.1, 0.5],
        "method.retain_weight": [1.0, 5.0],
        "unlearn.learning_rate": LEARNING_RATES,
    }

    def forget_loss(self, tokens: Tokens, values: Tensor) -> Tensor:
        import torch

        from duolearn_cli.model import losses

        # By answer, not by token: the ratio in eq. 3 is that of whole answers.
        where, every = tokens.is_forget, torch.arange(tokens.num_sequences)
        owner = tokens.send(tokens.sequence[where])
        nll, target_nll = (
            losses.per_sequence(each, owner, tokens.num_sequences)
            for each in (values, tokens.send(tokens.target_nll[where]))
        )
        return tokens.mean(losses.bounded_forget(nll, target_nll, self.beta), each_forget_item, owner=every)
