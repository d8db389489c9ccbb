"""Negative preference optimisation (Zhang et al. 2024), with descent on retain answers (their NPO+RT)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from duolearn_cli.config import setting
from duolearn_cli.methods.base import Objective, Tokens


@dataclass
class NPO:
    """Bounded ascent on whole forget answers against the target; the reference is cached, never a second model."""

    beta: float = setting(0.1, "inverse temperature: larger stays nearer to the target", minimum=1e-6)
    retain_weight: float = setting(1.0, "weight of the retain loss", minimum=0)

    labels: ClassVar[str] = "answer"
    constrain_step: ClassVar[bool] = False

    def objective(self, tokens: Tokens) -> Objective:
        import torch

        from duolearn_cli import losses

        nll = losses.nll(tokens.logits, tokens.labels)
        is_forget = tokens.is_forget.to(nll.dtype)
        by_sequence = [
            losses.per_sequence(values * is_forget, tokens.sequence, tokens.num_sequences)
            for values in (nll, tokens.target_nll)
        ]
        # One weight a sequence: its item's where it is a forget item, else none.
        weights = torch.zeros(tokens.num_sequences, dtype=nll.dtype, device=nll.device)
        weights[tokens.sequence] = tokens.item_weight * is_forget
        return Objective(
            forget=losses.weighted_mean(losses.bounded_forget(*by_sequence, beta=self.beta), weights),
            preserve=self.retain_weight * losses.weighted_mean(nll, tokens.item_weight * (1 - is_forget)),
        )
