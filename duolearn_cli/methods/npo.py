"""Negative preference optimisation (Zhang et al. 2024), with descent on retain answers (their NPO+RT)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from duolearn_cli.fields import setting
from duolearn_cli.methods.base import Labels, Objective, Tokens, of_retain

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class NPO:
    """Bounded ascent on whole forget answers against the target; the reference is cached, never a second model."""

    beta: float = setting(0.1, "inverse temperature: larger stays nearer to the target", minimum=1e-6)
    retain_weight: float = setting(1.0, "weight of the retain loss", minimum=0)

    labels: ClassVar[str] = "answer"

    def objective(self, tokens: Tokens) -> Objective:
        import torch

        from duolearn_cli import losses
        from duolearn_cli.readout import nll_at

        where = tokens.is_forget
        forget, retain = tokens.read(nll_at(where), nll_at(~where))
        by_sequence = [
            losses.per_sequence(values, tokens.sequence[where], tokens.num_sequences)
            for values in (forget, tokens.target_nll[where])
        ]
        ascent = losses.bounded_forget(*by_sequence, beta=self.beta)
        return Objective(
            forget=tokens.mean(ascent, _forget_items, owner=torch.arange(tokens.num_sequences, device=ascent.device)),
            preserve=self.retain_weight * tokens.mean_over(retain, of_retain),
        )


def _forget_items(labels: Labels) -> Tensor:
    """One weight a sequence: its item's where it is a forget item, else none."""
    weights = labels.item_weight.new_zeros(labels.num_sequences)
    weights[labels.sequence] = labels.item_weight * labels.is_forget
    return weights
