"""What the base and the target model think of every training token, computed once: no second model, no second forward.

Predictions are kept as last hidden states (width numbers a token instead of vocabulary): the logits are the frozen head
applied to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from duolearn_cli.data.encoding import Encoded, batches_by_length, collate
from duolearn_cli.losses import nll
from duolearn_cli.model import LanguageModel


@dataclass(frozen=True, eq=False)
class Reference:
    """Of one text with n labels, on the CPU: base_nll, target_nll [n]; base_hidden, target_hidden [n, width]."""

    base_nll: Tensor
    target_nll: Tensor
    base_hidden: Tensor
    target_hidden: Tensor


def references(model: LanguageModel, texts: Sequence[Encoded], labels: str, batch_tokens: int) -> list[Reference]:
    """Run the base (adapter off) and the target (adapter as it is now) over `texts`."""
    found: list[Reference | None] = [None] * len(texts)
    with torch.no_grad():
        for indices in batches_by_length([len(text.ids) for text in texts], batch_tokens):
            batch = collate([texts[i] for i in indices], labels).to(model.device)
            target_hidden = model.hidden(batch)
            with model.without_adapter():
                base_hidden = model.hidden(batch)
            base_nll, target_nll = (nll(model.head(hidden), batch.label) for hidden in (base_hidden, target_hidden))
            for place, index in enumerate(indices):
                own = batch.row == place
                # Off the device: of a large model on many items these are the largest tensors of the run.
                found[index] = Reference(*(t[own].cpu() for t in (base_nll, target_nll, base_hidden, target_hidden)))
    return [reference for reference in found if reference is not None]
