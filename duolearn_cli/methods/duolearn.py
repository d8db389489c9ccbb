"""DuoLearn: token classes and a bounded token loss, with a geometric constraint on the executed step.

The two strategies are the paper's (arXiv 2511.19498); the formulas are ours (docs/method.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from duolearn_cli.concepts.token_classes import PRESERVE, UNLEARN
from duolearn_cli.config.settings import setting
from duolearn_cli.config.unlearning import GeometryConfig, SparsityConfig
from duolearn_cli.methods.base import LEARNING_RATES, NO_ATTENTION, Attention, Method, Objective, Search
from duolearn_cli.methods.tokens import Labels, Tokens, each_preserved
from duolearn_cli.model.readings import kl_at, kl_of_others_at, nll_at

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class DuoLearn(Method):
    """Forget what the target knows more than the base, token by token; keep the target's predictions elsewhere.

    Forget loss, over U tokens: the KL from the target of all that is not the answer, which keeps the form of answers
    and the odds among the others, or with `distill_towards` ``KL(base, model)``; and an `ascent` of labels until their
    score ``nll - formed_nll`` is at `ceiling`: no answer is left likelier than the base would find it, had it learned
    how answers begin. Tokens with a score under `tau` are memorised.
    Preserve loss: KL to the target on P tokens, plus the nll of retain answers, plus `attention.retention` where asked.
    """

    # Both terms are needed. The KL to the base alone left a surplus on the right answer, enough to rank it first. The
    # ascent alone made wrong answers unlikely too, and the right one stayed first about half the time
    # (docs/history/lab-notes.md, "The forget loss").
    distill_weight: float = setting(2.0, "weight of the KL on U tokens", minimum=0)
    # Towards the base, SmolLM2 took over that it does not answer, on retain questions too. Towards the target with
    # ascent_weight=5, both models that were tried ended nearer to gold (docs/history/lab-notes.md, "A stronger
    # ascent").
    distill_towards: str = setting(
        "target",
        "reference of that KL. target: the target's prediction without the label, which keeps the form of answers; "
        "base: the base model's prediction",
        choices=["target", "base"],
    )
    # "huber" ends at the base's loss, which on minimed is about half of gold's. "bounded" pushes on there and reaches
    # gold's. Which of the two ends well depends on how far the base is from gold (docs/history/lab-notes.md, "0.1 % of
    # the parameters").
    ascent: str = setting(
        "bounded",
        "how U tokens lose likelihood. bounded: NPO's ascent until their score reaches `ceiling`; huber: the Huber "
        "distance to `ceiling`, which slows down near it and also pulls back tokens that fell too far",
        choices=["bounded", "huber"],
    )
    ascent_weight: float = setting(5.0, "weight of the ascent on U tokens", minimum=0, common=("unlearn",))
    beta: float = setting(1.0, "inverse temperature of the bounded ascent; ascent=huber does not use it", minimum=1e-6)
    answer_form: bool = setting(
        True,
        "correct the scores for the form of answers, which the target also learned from other items; estimated from"
        " wrong options of retain items. false: use the base model's nll. Private runs use no correction",
    )
    # Half a nat above the base's loss overshot: CCF 117 %, loss AUC 0.28 (docs/history/lab-notes.md, "A stronger
    # ascent").
    ceiling: float = setting(
        0.0,
        "tokens with a score at or above this (nats) count as forgotten and get no ascent; ascent=huber pulls them "
        "back to it",
    )
    tau: float = setting(-1.0, "tokens with a score below this (nats) count as memorised")
    memorised_weight: float = setting(2.0, "weight of memorised tokens relative to other U tokens", minimum=0.01)
    # On real questions ten times both weights brought recall back at no measured cost. On minimed they left a quarter
    # of what was to be forgotten, so they are no default (docs/history/lab-notes.md, "Ranked, but no longer said").
    kl_weight: float = setting(1.0, "weight of the KL to the target on P tokens", minimum=0)
    retain_weight: float = setting(1.0, "weight of the nll of retain answers", minimum=0, common=("unlearn",))
    token_classes: bool = setting(
        True, "unlearn and preserve mentions of concepts too; false: only the answers of forget and retain items"
    )
    # No bias and no attention term stood out of its interval, except for a little KPR that was lost. So all are off by
    # default (docs/history/lab-notes.md, "Concept-aware attention").
    unlearn_key_bias: float = setting(0.0, "added to attention scores of U tokens as keys, while unlearning only")
    preserve_key_bias: float = setting(0.0, "added to attention scores of P tokens as keys, while unlearning only")
    attention_weight: float = setting(0.0, "weight of the loss that keeps the attention output at P tokens", minimum=0)
    attention_layers: int = setting(4, "number of evenly spaced layers whose attention output is kept", minimum=1)
    geometry: GeometryConfig = setting(GeometryConfig)
    sparsity: SparsityConfig = setting(SparsityConfig)

    # Concept mentions in questions have a class too, so questions need labels as well as answers.
    labels: ClassVar[str] = "text"
    search: ClassVar[Search] = {
        "method.distill_towards": ["target", "base"],
        "method.ascent_weight": [2.0, 5.0],
        "unlearn.learning_rate": LEARNING_RATES,
    }

    def problems(self) -> Iterator[str]:
        """Yield settings that are fine alone and impossible together."""
        if self.distill_towards == "target" and not self.ascent_weight:
            yield (
                "ascent_weight=0: with method.distill_towards=target nothing would lower an answer; allowed: more than "
                "0, or method.distill_towards=base."
            )
        if self.ascent == "huber" and math.isinf(self.ceiling):
            yield (
                f"ceiling={self.ceiling}: method.ascent=huber leads labels to it; allowed: a number, or "
                "method.ascent=bounded."
            )

    @property
    def attention(self) -> Attention:
        if not self.token_classes:  # attention goes by them
            return NO_ATTENTION
        kept_layers = self.attention_layers if self.attention_weight else 0
        return Attention(self.unlearn_key_bias, self.preserve_key_bias, kept_layers)

    def objective(self, tokens: Tokens) -> Objective:
        # Not at the top of the file: checking a configuration imports the methods, and must stay fast without torch.
        from duolearn_cli.model.attention import retention

        unlearn, preserve = self._unlearn(tokens), self._preserve(tokens)
        towards = kl_of_others_at(unlearn, "target") if self.distill_towards == "target" else kl_at(unlearn, "base")
        nll, distill, kl, answers = tokens.read(
            nll_at(unlearn), towards, kl_at(preserve, "target"), nll_at(_retain_answers(tokens))
        )
        pushed = self._pushed(nll, tokens.send(tokens.formed_nll[unlearn]), distill)
        forget = tokens.mean_over(pushed, self._unlearn, _weights)
        kept = self.kl_weight * tokens.mean_over(kl, self._preserve, _weights)
        kept = kept + self.retain_weight * tokens.mean_over(answers, _retain_answers)
        if tokens.attention is not None and tokens.target_attention is not None:
            away = retention(tokens.attention, tokens.target_attention)
            kept = kept + self.attention_weight * tokens.mean(away, each_preserved, tokens.preserved)
        return Objective(forget, kept)

    def _pushed(self, nll: Tensor, reference: Tensor, distill: Tensor) -> Tensor:
        """What each U token adds to the forget loss. Shapes: all [m]."""
        import torch

        from duolearn_cli.model.losses import bounded_forget, huber

        # Without a gradient: the score chooses and weighs tokens, and is nothing to be minimised.
        score = nll.detach() - reference
        if self.ascent == "huber":
            ascent = huber(nll, reference + self.ceiling)
        else:
            ascent = bounded_forget(nll, reference, self.beta) * (score < self.ceiling)
        # Memorised tokens weigh one and the others less: the weights of a mean must not depend on the model.
        memorised = torch.where(score < self.tau, 1.0, 1 / self.memorised_weight)
        return memorised * (self.distill_weight * distill + self.ascent_weight * ascent)

    def _unlearn(self, labels: Labels) -> Tensor:
        """Mask of U tokens."""
        return self._of_kind(labels, UNLEARN)

    def _preserve(self, labels: Labels) -> Tensor:
        """Mask of P tokens."""
        return self._of_kind(labels, PRESERVE)

    def _of_kind(self, labels: Labels, kind: int) -> Tensor:
        """Mask of the tokens of a class; without token classes, of those in answers alone."""
        found = labels.kind == kind
        return found if self.token_classes else found & labels.is_answer


def _retain_answers(labels: Labels) -> Tensor:
    """Mask of the answers of retain items."""
    return labels.is_answer & ~labels.is_forget


def _weights(labels: Labels) -> Tensor:
    """Weight of every token: its item's, times that of its concept's level."""
    return labels.item_weight * labels.level_weight
