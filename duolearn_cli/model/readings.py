"""The numbers that a loss may ask for, token by token. Nothing here imports torch until a number is computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from duolearn_cli.errors import present

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Reading:
    """A number for each of m chosen tokens, which depends only on that token's logits.

    Attributes:
        function: from logits [m, vocabulary], labels [m] and the reference's logits [m, vocabulary] (or None) to [m].
        where: a mask [n] on the host that chooses m of the n labelled tokens.
        reference: the model that `function` compares with, ``base`` or ``target``; None: no model.
    """

    function: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    where: Tensor
    reference: str | None = None


def nll_at(where: Tensor) -> Reading:
    """Read the negative log-likelihood of the chosen tokens' labels, in nats."""
    from duolearn_cli.model import losses

    return Reading(lambda logits, labels, reference: losses.nll(logits, labels), where)


def kl_at(where: Tensor, reference: str) -> Reading:
    """Read KL(reference || model) at the chosen tokens, in nats. `reference` is ``base`` or ``target``."""
    from duolearn_cli.model import losses

    def divergence(logits: Tensor, labels: Tensor, reference: Tensor | None) -> Tensor:
        return losses.kl(present(reference, "the reference"), logits)

    return Reading(divergence, where, reference)


def kl_of_others_at(where: Tensor, reference: str) -> Reading:
    """Read KL(reference || model) of all tokens except the label, renormalised, in nats (`losses.kl_of_others`)."""
    from duolearn_cli.model import losses

    def divergence(logits: Tensor, labels: Tensor, reference: Tensor | None) -> Tensor:
        return losses.kl_of_others(present(reference, "the reference"), logits, labels)

    return Reading(divergence, where, reference)
