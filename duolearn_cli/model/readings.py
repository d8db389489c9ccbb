"""The numbers that a loss may ask for, token by token. Nothing here imports torch until a number is computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Reading:
    """A number for each token of a mask, of that token's logits alone.

    Attributes:
        function: logits [m, vocabulary], labels [m], the reference's logits [m, vocabulary] (or None) -> [m].
        where: which tokens, a mask [n] on the host.
        reference: the model that `function` compares with, ``base`` or ``target``; None: it does not.
    """

    function: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    where: Tensor
    reference: str | None = None


def nll_at(where: Tensor) -> Reading:
    """Negative log-likelihood of the labels of some tokens, in nats."""
    from duolearn_cli.model import losses

    return Reading(lambda logits, labels, reference: losses.nll(logits, labels), where)


def kl_at(where: Tensor, reference: str) -> Reading:
    """KL(reference || model) at some tokens, in nats; `reference` is ``base`` or ``target``."""
    from duolearn_cli.model import losses

    def divergence(logits: Tensor, labels: Tensor, reference: Tensor | None) -> Tensor:
        assert reference is not None
        return losses.kl(reference, logits)

    return Reading(divergence, where, reference)


def kl_of_others_at(where: Tensor, reference: str) -> Reading:
    """KL(reference || model) of all tokens but the label, given that it is not that, at some places, in nats."""
    from duolearn_cli.model import losses

    def divergence(logits: Tensor, labels: Tensor, reference: Tensor | None) -> Tensor:
        assert reference is not None
        return losses.kl_of_others(reference, logits, labels)

    return Reading(divergence, where, reference)
