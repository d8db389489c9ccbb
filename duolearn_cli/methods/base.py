"""What a method sees and what it returns. A new method is one file beside this one and one YAML in conf/method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Attention:
    """What a method does to attention while unlearning; evaluation never sees it.

    Attributes:
        unlearn_key_bias: added before the softmax to the scores of unlearning-targeted tokens as keys.
        preserve_key_bias: the same for preservation-critical tokens.
        kept_layers: in how many evenly spaced layers `Tokens.attention` is wanted; 0: it is not.
    """

    unlearn_key_bias: float = 0.0
    preserve_key_bias: float = 0.0
    kept_layers: int = 0

    @property
    def is_biased(self) -> bool:
        return bool(self.unlearn_key_bias or self.preserve_key_bias)


NO_ATTENTION = Attention()


@dataclass(frozen=True, eq=False)
class Tokens:
    """The labelled tokens of one step, forget and retain together; every tensor has shape [n] unless said otherwise.

    Attributes:
        logits: [n, vocabulary], the model's prediction for each label; the only field with a gradient.
        labels: token ids.
        base_nll: the label's negative log-likelihood under the base model (adapter off), in nats.
        target_nll: the same under the target model, where unlearning began.
        base_logits, target_logits: compute [n] boolean mask -> [m, vocabulary], that model's logits at masked tokens.
        kind: token class, one of `concepts.token_classes`.
        level_weight: weight of the token's concept level, 1 where it has none.
        item_weight: weight of the token's item, mean one; differs where subjects are balanced.
        is_forget: the token belongs to a forget item.
        is_answer: the token belongs to the item's answer.
        sequence: position of the token's item in the step; `num_sequences` counts them.
        attention: [layers, p, width], what the attention of some layers writes for all preservation-critical tokens,
            labelled or not; it has a gradient too. None unless the method's `attention` asks for it.
        target_attention: the same in the target model.
    """

    logits: Tensor
    labels: Tensor
    base_nll: Tensor
    target_nll: Tensor
    base_logits: Callable[[Tensor], Tensor]
    target_logits: Callable[[Tensor], Tensor]
    kind: Tensor
    level_weight: Tensor
    item_weight: Tensor
    is_forget: Tensor
    is_answer: Tensor
    sequence: Tensor
    num_sequences: int
    attention: Tensor | None = None
    target_attention: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Objective:
    """Two losses to minimise, both scalars: what drives forgetting, and what keeps the rest."""

    forget: Tensor
    preserve: Tensor


class Method(Protocol):
    """A method as configured: ``method._target_`` names a dataclass of this form.

    `labels` says which tokens the step needs: ``answer`` or ``text`` (question and answer). `constrain_step` asks the
    loop to take from each executed optimiser step what conflicts with the preserve gradient. A method that changes or
    watches attention also has an `attention` of type `Attention`.
    """

    labels: str
    constrain_step: bool

    def objective(self, tokens: Tokens) -> Objective: ...


def attention_of(method: Method) -> Attention:
    """What `method` asks of attention; most ask nothing and need not say so."""
    return getattr(method, "attention", NO_ATTENTION)
