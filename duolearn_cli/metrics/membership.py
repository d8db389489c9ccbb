"""Membership inference by loss: can an attacker tell trained items from never-seen ones? (method.md section 8)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from duolearn_cli.metrics.intervals import Estimate, bootstrap


def auc(member_scores: np.ndarray, other_scores: np.ndarray, axis: int = -1) -> np.ndarray:
    """P(member scores higher than non-member) + P(tie) / 2: the Mann-Whitney form of the area under the ROC.

    Shapes: [..., m] and [..., n] -> [...], for the bootstrap's resamples.
    """
    together = np.concatenate([np.moveaxis(member_scores, axis, -1), np.moveaxis(other_scores, axis, -1)], axis=-1)
    num_members, num_others = member_scores.shape[axis], other_scores.shape[axis]
    ranks = stats.rankdata(together, axis=-1)[..., :num_members].sum(-1)
    return (ranks - num_members * (num_members + 1) / 2) / (num_members * num_others)


def mia_score(area: np.ndarray | float) -> np.ndarray:
    """1 - 2 |AUC - 0.5|: 1 if the attack is blind, 0 if it is always right (or always wrong)."""
    return np.asarray(1 - 2 * np.abs(np.asarray(area) - 0.5))


def loss_attack(member_losses: Sequence[float], other_losses: Sequence[float]) -> dict[str, Estimate]:
    """AUC and MIA score of the loss attack (low loss = member), one loss a fact; empty if a group is empty."""
    if not member_losses or not other_losses:
        return {}
    columns = [-np.asarray(member_losses, dtype=float), -np.asarray(other_losses, dtype=float)]
    n = len(member_losses) + len(other_losses)
    area = bootstrap(columns, auc, n=n, paired=False)
    score = bootstrap(
        columns, lambda a, b, axis=-1: mia_score(auc(a, b, axis)), n=n, paired=False, higher_is_better=True
    )
    if area.low is not None and area.high is not None and area.low <= 0.5 <= area.high:
        # |x| folds resamples on both sides of a blind attack together: the upper end is 1 whatever they say.
        score = replace(score, high=1.0)
    return {"mia_auc": area, "mia_score": score}
