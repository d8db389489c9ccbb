"""Gradient ascent on the forget answers (Jang et al. 2023, "Knowledge Unlearning")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from duolearn_cli.methods.base import Objective, Tokens


@dataclass
class GradientAscent:
    """Minimise ``-nll`` of the forget answers: unbounded, and nothing protects the rest."""

    labels: ClassVar[str] = "answer"

    def objective(self, tokens: Tokens) -> Objective:
        from duolearn_cli import losses

        nll = losses.nll(tokens.logits, tokens.labels)
        forget = -tokens.mean(nll, lambda t: t.item_weight * t.is_forget)
        return Objective(forget, preserve=nll.sum() * 0)
