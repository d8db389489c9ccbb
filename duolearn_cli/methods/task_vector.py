"""Negated task vector (Ilharco et al. 2023, "Editing Models with Task Arithmetic", section 3).

What fine-tuning on the forget data adds to the weights is subtracted from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from duolearn_cli.config.settings import setting
from duolearn_cli.methods.base import LEARNING_RATES, Method, Objective, Search
from duolearn_cli.methods.tokens import Tokens, of_forget
from duolearn_cli.model.readings import nll_at

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class TaskVector(Method):
    """Descend on the forget answers from the target; the run leaves ``target - strength (end - target)``."""

    strength: float = setting(1.0, "how far to go back, as a multiple of the way to the fine-tuned adapter", minimum=0)

    labels: ClassVar[str] = "answer"
    search: ClassVar[Search] = {
        "method.strength": [0.5, 1.0, 2.0],
        "unlearn.learning_rate": LEARNING_RATES,
    }

    def objective(self, tokens: Tokens) -> Objective:
        (nll,) = tokens.read(nll_at(tokens.is_forget))
        return Objective(forget=tokens.mean_over(nll, of_forget), preserve=nll.new_zeros(()))

    def result(self, start: Tensor, end: Tensor) -> Tensor:
        """The adapter that the run leaves, element by element."""
        return start - self.strength * (end - start)
