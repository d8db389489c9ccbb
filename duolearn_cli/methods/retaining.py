"""What most baselines share: a loss of the forget answers, and one of the retain answers beside it."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from duolearn_cli.config.settings import setting
from duolearn_cli.methods.base import Method, Objective
from duolearn_cli.methods.tokens import Tokens, of_retain
from duolearn_cli.model.readings import Reading, kl_at, nll_at

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Retaining(Method):
    """Minimise `forget_loss` plus `retain_weight` times the mean nll of retain answers, or the mean KL there."""

    retain: str = setting(
        "nll",
        "the retain loss: nll of retain answers, or kl from the target's predictions there",
        choices=["nll", "kl"],
    )
    retain_weight: float = setting(1.0, "weight of the retain loss", minimum=0)

    labels: ClassVar[str] = "answer"

    def objective(self, tokens: Tokens) -> Objective:
        # Retain answers are not even read then: every reading costs a product with the output layer.
        if not self.retain_weight:
            (forget,) = tokens.read(self.reading(tokens))
            return Objective(self.forget_loss(tokens, forget), forget.new_zeros(()))
        kept_at = kl_at(~tokens.is_forget, "target") if self.retain == "kl" else nll_at(~tokens.is_forget)
        forget, kept = tokens.read(self.reading(tokens), kept_at)
        return Objective(self.forget_loss(tokens, forget), self.retain_weight * tokens.mean_over(kept, of_retain))

    def reading(self, tokens: Tokens) -> Reading:
        """What `forget_loss` is made of: the nll of the forget answers, unless a method says otherwise."""
        return nll_at(tokens.is_forget)

    @abstractmethod
    def forget_loss(self, tokens: Tokens, values: Tensor) -> Tensor:
        """This forward's share of the forget loss, of the `reading` at the forget answers' tokens [m]."""
