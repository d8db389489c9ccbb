"""Unlearning and preservation losses: pure, differentiable functions of tensors, in any floating-point precision.

Every loss is per token or per sequence; the caller weighs and reduces them. `nll` is the negative log-likelihood of a
label token in nats. `ref_nll` is that of the reference model for the same token.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def nll(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the negative log-likelihood of each label, in nats. Shapes: logits [n, vocabulary], labels [n] -> [n]."""
    return F.cross_entropy(logits, labels, reduction="none")


def bounded_forget(nll: Tensor, ref_nll: Tensor, beta: float) -> Tensor:
    """Return the bounded-ascent loss of each element: ``-(2/beta) log sigmoid(-beta log(p / p_ref))``, always >= 0.

    Its gradient is that of plain ascent (``-d nll``) times ``2 p^beta / (p^beta + p_ref^beta)``. This factor vanishes
    once the model is far less certain of the label than the reference. It is the loss of NPO (Zhang et al. 2024,
    eq. 3), for tokens or for sequences. Shapes: all the same.
    """
    # Above the threshold softplus is replaced by its argument; at 40 the two are equal even in float64.
    return (2 / beta) * F.softplus(-beta * (nll - ref_nll), threshold=40)


def huber(nll: Tensor, aim: Tensor) -> Tensor:
    """Return the Huber distance d of each nll from its aim: ``d^2 / 2`` within one nat, ``|d| - 1/2`` beyond.

    Far below the aim its gradient is that of plain ascent. Within one nat it shrinks with the distance. Above the aim
    it is that of learning. So the loss approaches the aim gently and from both sides, whereas the bounded ascent still
    pushes with half of its force there (docs/history/lab-notes.md, "How answers look"). Shapes: all the same.
    """
    return F.huber_loss(nll, aim, reduction="none")


def margin_forget(mean_nll: Tensor, beta: float, gamma: float) -> Tensor:
    """Return the bounded-ascent loss without a reference: ``-(2/beta) log sigmoid(beta mean_nll - gamma)``.

    `mean_nll` is the mean nll of each sequence's tokens, [n]. It is the loss of SimNPO (Fan et al. 2024). Its gradient
    is that of plain ascent times ``2 sigmoid(gamma - beta mean_nll)``.
    """
    return (2 / beta) * F.softplus(gamma - beta * mean_nll, threshold=40)


def confidence(nll: Tensor, power: float) -> Tensor:
    """Return the weight ``p^power`` of tokens with probability p, without a gradient; 1 for power 0. Shape: [n]."""
    return torch.exp(-power * nll.detach())


def doubt(nll: Tensor, power: float) -> Tensor:
    """Return the weight ``(1 - p)^power`` of tokens, without a gradient; 1 for power 0. Shape: [n]."""
    # expm1 keeps 1 - p exact if p is near 1.
    return (-torch.expm1(-nll.detach())).clamp(min=0) ** power


def kl_to_lowered(ref_logits: Tensor, logits: Tensor, labels: Tensor, strength: float) -> Tensor:
    """Return KL(q || p) in nats; q is the softmax of the reference's logits, the label's reduced by `strength`.

    It equals UNDIAL's cross entropy with q (Dong et al. 2024) minus the entropy of q, a constant, so that its minimum
    is zero. Shapes: both logits [n, vocabulary], labels [n] -> [n]. `ref_logits` gets no gradient.
    """
    lowered = ref_logits.detach().clone()
    lowered[torch.arange(len(labels), device=labels.device), labels] -= strength
    return kl(lowered, logits)


def kl_of_others(ref_logits: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Return KL(p_ref || p) of the distributions over all tokens except the label, renormalised, in nats.

    It preserves the proportions of all other tokens. The label's logits have no influence on it and get no gradient.
    Shapes: both logits [n, vocabulary], labels [n] -> [n]. `ref_logits` gets no gradient.
    """
    # Setting the label's logit to -inf before the softmax renormalises over the other tokens.
    places = torch.arange(len(labels), device=labels.device)
    ref_log_p, log_p = (
        other.index_put((places, labels), other.new_full((), -torch.inf)).log_softmax(-1)
        for other in (ref_logits.detach(), logits)
    )
    # The label's own term would be -inf - -inf, which is NaN; it counts as 0.
    apart = (ref_log_p - log_p).index_put((places, labels), logits.new_zeros(()))
    return (ref_log_p.exp() * apart).sum(-1)


def squared_distance(outputs: Tensor, aim: Tensor) -> Tensor:
    """Return ``|h - a|^2`` of `outputs` h and `aim` a, at least in float32. `aim` gets no gradient.

    Shapes: outputs [n, width]; aim broadcasts to that; the result is [n].
    """
    wide = torch.promote_types(outputs.dtype, torch.float32)
    return (outputs.to(wide) - aim.detach().to(wide)).square().sum(-1)


def kl(ref_logits: Tensor, logits: Tensor) -> Tensor:
    """Return KL(p_ref || p) at each position, in nats. `ref_logits` gets no gradient.

    Shapes: both [n, vocabulary] -> [n].
    """
    ref_log_p = F.log_softmax(ref_logits.detach(), dim=-1)
    return (ref_log_p.exp() * (ref_log_p - F.log_softmax(logits, dim=-1))).sum(-1)


def share_of_mean(values: Tensor, weights: Tensor, total: Tensor) -> Tensor:
    """Return ``sum(w v) / total``: what these elements contribute to a mean whose weights sum to `total`.

    Contributions of micro-batches and processes add up to the mean. The result is zero if `total` is zero.
    """
    return (values * weights).sum() / torch.where(total > 0, total, torch.ones_like(total))


def sum_of_means(values: Tensor, weights: Tensor, sequence: Tensor, num_sequences: int) -> Tensor:
    """Return the sum over sequences of their weighted means ``sum(w v) / sum(w)``; a sequence without weight adds zero.

    Shapes: values, weights and sequence (each value's sequence number) are [n]; the result is a scalar.
    """
    total = per_sequence(weights, sequence, num_sequences)[sequence]
    return (values * (weights / torch.where(total > 0, total, torch.ones_like(total)))).sum()


def per_sequence(values: Tensor, sequence: Tensor, num_sequences: int) -> Tensor:
    """Sum token values by sequence. Shapes: values [n], sequence [n] (sequence numbers) -> [num_sequences]."""
    return torch.zeros(num_sequences, dtype=values.dtype, device=values.device).index_add(0, sequence, values)
