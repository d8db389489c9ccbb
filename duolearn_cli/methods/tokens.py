"""What a method sees: the labelled tokens of a step, their classes and weights, and the model's predictions of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from duolearn_cli.model.host_to_device import Rows
    from duolearn_cli.model.readings import Reading
    from duolearn_cli.model.readout import Readout


@dataclass(frozen=True, eq=False)
class Labels:
    """What is known of labelled tokens before any forward; tensors have shape [n], but for `preserved`.

    They lie on the host, so that what depends on them, such as which tokens a loss is made of, never waits for the
    device. `Tokens.send` brings values of theirs to where predictions are.

    Attributes:
        labels: token ids.
        base_nll: the label's negative log-likelihood under the base model (adapter off), in nats.
        formed_nll: base_nll with the form of answers allowed for (`answer_form`), where the method asks for that.
        target_nll: the same under the target model, where unlearning began.
        kind: token class, one of `concepts.token_classes`.
        level_weight: weight of the token's concept level, 1 where it has none.
        item_weight: weight of the token's item, mean one; differs where subjects are balanced.
        is_forget: the token belongs to a forget item.
        is_answer: the token belongs to the item's answer.
        sequence: position of the token's item among the items at hand; `num_sequences` counts them.
        preserved: the same position for every preservation-critical token of these items, labelled or not [p].
    """

    labels: Tensor
    base_nll: Tensor
    formed_nll: Tensor
    target_nll: Tensor
    kind: Tensor
    level_weight: Tensor
    item_weight: Tensor
    is_forget: Tensor
    is_answer: Tensor
    sequence: Tensor
    num_sequences: int
    preserved: Tensor


@dataclass(frozen=True, eq=False)
class Tokens(Labels):
    """The labelled tokens of one forward, forget and retain together, with the model's predictions.

    A step may be cut into several forwards, over processes or micro-batches. Losses are shares of the whole step's, so
    that they and their gradients add up to the same whatever the cut. In a private step each item has a loss of its
    own, in which no other item has a part, and losses are sums of those.

    Attributes:
        readout: reads numbers off the model's predictions, see `read`.
        step: the labels of the whole step; None where each item's means are its own (a private step).
        attention: [layers, p, width], what the attention of some layers writes for all preservation-critical tokens,
            labelled or not, with a gradient. None unless the method's `attention` asks for it.
        target_attention: the same in the target model.
        activations: ``activations[mask]`` [m, width] is what the layer at `Attention.depth` writes where the labels of
            a mask are predicted, at the token before each, with a gradient. None unless the method's `attention` asks.
        target_activations: the same in the target model, on the host, of all labels [n, width].
    """

    readout: Readout
    step: Labels | None
    attention: Tensor | None = None
    target_attention: Tensor | None = None
    activations: Rows | None = None
    target_activations: Tensor | None = None

    def read(self, *readings: Reading) -> list[Tensor]:
        """Numbers of single tokens, such as `nll_at` and `kl_at` give, with a gradient. Shapes: [m] each.

        Ask for all of them at once, and for those tokens alone that a loss needs: each costs a product with the output
        layer.
        """
        return self.readout.read(*readings)

    @property
    def nll(self) -> Tensor:
        """The nll of every label, without a gradient [n]."""
        return self.readout.nll

    def send(self, values: Tensor) -> Tensor:
        """Values of labels, or made of them, on the device of what `read` gives."""
        from duolearn_cli.model.host_to_device import send

        return send(values, self.readout.device)

    def mean(self, values: Tensor, weights: Callable[[Labels], Tensor], owner: Tensor | None = None) -> Tensor:
        """This forward's share of the step's weighted mean, ``sum(w v) / sum(w over the step)``; in a private step the
        sum over items of ``sum(w v) / sum(w)``, each over the item's own values.

        `weights` gives those of any labels, in the order of `values`; it must not depend on the model. `owner` says for
        each value whose it is, as `sequence` does, which is the default.
        """
        from duolearn_cli.model.losses import share_of_mean, sum_of_means

        own = self.send(weights(self))
        if self.step is not None:
            return share_of_mean(values, own, weights(self.step).sum())
        return sum_of_means(values, own, self.send(self.sequence if owner is None else owner), self.num_sequences)

    def mean_over(
        self,
        values: Tensor,
        where: Callable[[Labels], Tensor],
        weights: Callable[[Labels], Tensor] = lambda labels: labels.item_weight,
    ) -> Tensor:
        """`mean` of the values of a mask's tokens; `weights` [n] are of all tokens, by default those of their items."""
        return self.mean(values, lambda labels: weights(labels)[where(labels)], self.sequence[where(self)])


def of_forget(labels: Labels) -> Tensor:
    """Mask of the labelled tokens of forget items."""
    return labels.is_forget


def of_retain(labels: Labels) -> Tensor:
    """Mask of the labelled tokens of retain items."""
    return ~labels.is_forget


def each_forget_item(labels: Labels) -> Tensor:
    """Weights of a mean over forget items: its item's for each sequence of one, else none. Shape: [num_sequences]."""
    weights = labels.item_weight.new_zeros(labels.num_sequences)
    # All tokens of a sequence write the same value, so it does not matter which of them is written last.
    weights[labels.sequence] = labels.item_weight * labels.is_forget
    return weights


def each_preserved(labels: Labels) -> Tensor:
    """Weights of a mean over all preservation-critical tokens, for `Tokens.mean`. Shape: [p]."""
    return labels.item_weight.new_ones(len(labels.preserved))
