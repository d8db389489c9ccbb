"""Fine-tuning on the retain answers alone: what forgetting by neglect gives (the baseline of Golatkar et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from duolearn_cli.methods.base import LEARNING_RATES, Method, Objective, Search
from duolearn_cli.methods.tokens import Tokens, of_retain
from duolearn_cli.model.readings import nll_at


@dataclass
class FinetuneRetain(Method):
    """Minimise the nll of the retain answers; nothing pushes the forget answers."""

    labels: ClassVar[str] = "answer"
    search: ClassVar[Search] = {"unlearn.learning_rate": LEARNING_RATES}

    def objective(self, tokens: Tokens) -> Objective:
        (nll,) = tokens.read(nll_at(~tokens.is_forget))
        return Objective(forget=nll.new_zeros(()), preserve=tokens.mean_over(nll, of_retain))
