"""Gradient ascent on the forget answers (Jang et al. 2023, "Knowledge Unlearning")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from duolearn_cli.methods.base import LEARNING_RATES, Method, Objective, Search
from duolearn_cli.methods.tokens import Tokens, of_forget
from duolearn_cli.model.readings import nll_at


@dataclass
class GradientAscent(Method):
    """Minimise ``-nll`` of the forget answers: unbounded, and nothing protects the rest."""

    labels: ClassVar[str] = "answer"
    search: ClassVar[Search] = {"unlearn.learning_rate": [1e-5, 5e-5, *LEARNING_RATES]}

    def objective(self, tokens: Tokens) -> Objective:
        (nll,) = tokens.read(nll_at(tokens.is_forget))
        return Objective(forget=-tokens.mean_over(nll, of_forget), preserve=nll.new_zeros(()))
