"""Unlearning and preservation losses: pure functions over tensors, differentiable, valid in any float precision.

Every loss is per token or per sequence; reductions and weights belong to the caller. `nll` is the negative
log-likelihood of a label token in nats, `ref_nll` that of the reference model for the same token.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def nll(logits: Tensor, labels: Tensor) -> Tensor:
    """Negative log-likelihood of each label. Shapes: logits [n, vocabulary], labels [n] -> [n]."""
    return F.cross_entropy(logits, labels, reduction="none")


def bounded_forget(nll: Tensor, ref_nll: Tensor, beta: float) -> Tensor:
    """Bounded ascent, element by element: ``-(2/beta) log sigmoid(-beta log(p / p_ref))``, always >= 0.

    Its gradient is that of plain ascent (``-d nll``) times ``2 p^beta / (p^beta + p_ref^beta)``, which vanishes once
    the model is far less sure than the reference. NPO (Zhang et al. 2024, eq. 3), per token or per sequence.
    """
    # The threshold from which softplus is taken for linear lies beyond what float64 can tell apart.
    return (2 / beta) * F.softplus(-beta * (nll - ref_nll), threshold=40)


def huber(nll: Tensor, aim: Tensor) -> Tensor:
    """Huber's distance from an aim, element by element: ``d^2 / 2`` within one nat, ``|d| - 1/2`` beyond; >= 0.

    Its gradient is that of plain ascent where the aim is far above, shrinks with the distance within a nat of it, and
    is that of learning above it: an end that is reached gently and from both sides.
    """
    return F.huber_loss(nll, aim, reduction="none")


def margin_forget(mean_nll: Tensor, beta: float, gamma: float) -> Tensor:
    """Bounded ascent without a reference, of sequences' mean losses: ``-(2/beta) log sigmoid(beta mean_nll - gamma)``.

    SimNPO (Fan et al. 2024). Its gradient is that of plain ascent times ``2 sigmoid(gamma - beta mean_nll)``.
    """
    return (2 / beta) * F.softplus(gamma - beta * mean_nll, threshold=40)


def confidence(nll: Tensor, power: float) -> Tensor:
    """The weight ``p^power`` of tokens with probability p, without a gradient; all 1 for power 0. Shape: [n]."""
    return torch.exp(-power * nll.detach())


def doubt(nll: Tensor, power: float) -> Tensor:
    """The weight ``(1 - p)^power``, without a gradient and exact where p is near 1; all 1 for power 0. Shape: [n]."""
    return (-torch.expm1(-nll.detach())).clamp(min=0) ** power


def kl_to_lowered(ref_logits: Tensor, logits: Tensor, labels: Tensor, strength: float) -> Tensor:
    """KL(q || p), q being the softmax of the reference's logits with the label's lowered by `strength`. Shape: [n].

    The cross entropy with q (UNDIAL, Dong et al. 2024) but for q's entropy, which is a constant: zero is its minimum.
    """
    lowered = ref_logits.detach().clone()
    lowered[torch.arange(len(labels), device=labels.device), labels] -= strength
    return kl(lowered, logits)


def kl_of_others(ref_logits: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """KL(p_ref || p) of what else is predicted, given that it is not the label, in nats.

    Neither side's probability of the label has a part in it, nor has it a gradient there: it keeps the proportions of
    all other tokens. Shapes: both logits [n, vocabulary], labels [n] -> [n]. `ref_logits` gets no gradient.
    """
    places = torch.arange(len(labels), device=labels.device)
    ref_log_p, log_p = (
        other.index_put((places, labels), other.new_full((), -torch.inf)).log_softmax(-1)
        for other in (ref_logits.detach(), logits)
    )
    # The label's own term is 0 (-inf - -inf).
    apart = (ref_log_p - log_p).index_put((places, labels), logits.new_zeros(()))
    return (ref_log_p.exp() * apart).sum(-1)


def squared_distance(outputs: Tensor, aim: Tensor) -> Tensor:
    """``|h - a|^2``, in float32 at least; no gradient to `aim`. Shapes: [n, width], one that broadcasts -> [n]."""
    wide = torch.promote_types(outputs.dtype, torch.float32)
    return (outputs.to(wide) - aim.detach().to(wide)).square().sum(-1)


def kl(ref_logits: Tensor, logits: Tensor) -> Tensor:
    """KL(p_ref || p) at each position, in nats. Shapes: both [n, vocabulary] -> [n]. `ref_logits` gets no gradient."""
    ref_log_p = F.log_softmax(ref_logits.detach(), dim=-1)
    return (ref_log_p.exp() * (ref_log_p - F.log_softmax(logits, dim=-1))).sum(-1)


def share_of_mean(values: Tensor, weights: Tensor, total: Tensor) -> Tensor:
    """``sum(w v) / total``, these elements' share of a mean whose weights sum to `total`; zero where that is zero."""
    return (values * weights).sum() / torch.where(total > 0, total, torch.ones_like(total))


def sum_of_means(values: Tensor, weights: Tensor, sequence: Tensor, num_sequences: int) -> Tensor:
    """Sum over sequences of ``sum(w v) / sum(w)``, nothing for one without weight. Shapes: [n], `sequence` indices."""
    total = per_sequence(weights, sequence, num_sequences)[sequence]
    return (values * (weights / torch.where(total > 0, total, torch.ones_like(total)))).sum()


def per_sequence(values: Tensor, sequence: Tensor, num_sequences: int) -> Tensor:
    """Sum token values by sequence. Shapes: values [n], sequence [n] (indices) -> [num_sequences]."""
    return torch.zeros(num_sequences, dtype=values.dtype, device=values.device).index_add(0, sequence, values)
