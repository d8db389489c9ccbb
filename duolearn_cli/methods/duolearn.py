"""DuoLearn: token classes and a bounded token loss, with a geometric constraint on the executed step.

The two strategies are the paper's (arXiv 2511.19498); the formulas are ours (method.md sections 3 to 5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from duolearn_cli.concepts.token_classes import PRESERVE, UNLEARN
from duolearn_cli.config import setting
from duolearn_cli.methods.base import Objective, Tokens


@dataclass
class DuoLearn:
    """Forget what the target knows more than the base, token by token; keep the target's predictions elsewhere.

    Forget loss: bounded ascent over U tokens against the base model, so a token's pull ends once the model knows no
    more than the base does: tokens with ``nll - base_nll >= ceiling`` are dropped, those under `tau` count as memorised
    and weigh `memorised_weight`. Preserve loss: KL to the target on P tokens, plus the nll of retain answers.
    """

    beta: float = setting(1.0, "inverse temperature of the bounded forget loss", minimum=1e-6)
    tau: float = setting(-1.0, "tokens with score nll - base_nll under this are memorised (nats)")
    ceiling: float = setting(0.0, "tokens with score at or above this are forgotten and dropped (nats)")
    memorised_weight: float = setting(1.0, "weight of memorised tokens relative to other U tokens", minimum=0)
    kl_weight: float = setting(1.0, "weight of the KL to the target on preserved tokens", minimum=0)
    retain_weight: float = setting(1.0, "weight of the nll of retain answers", minimum=0)
    constrain_step: bool = setting(True, "take from the executed step what conflicts with the preserve gradient")

    labels: ClassVar[str] = "text"

    def objective(self, tokens: Tokens) -> Objective:
        import torch

        from duolearn_cli import losses

        nll = losses.nll(tokens.logits, tokens.labels)
        score = nll.detach() - tokens.base_nll
        unlearn = (tokens.kind == UNLEARN) & (score < self.ceiling)
        weight = tokens.level_weight * torch.where(score < self.tau, self.memorised_weight, 1.0) * unlearn
        preserved = tokens.kind == PRESERVE
        kl = losses.kl(tokens.target_logits(preserved), tokens.logits[preserved])
        retain_answer = tokens.is_answer & ~tokens.is_forget
        return Objective(
            forget=losses.weighted_mean(losses.bounded_forget(nll, tokens.base_nll, self.beta), weight),
            preserve=self.kl_weight * losses.weighted_mean(kl, tokens.level_weight[preserved])
            + self.retain_weight * losses.weighted_mean(nll, retain_answer.to(nll.dtype)),
        )
