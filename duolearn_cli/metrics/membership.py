"""Membership inference: can an attacker tell trained items from never-seen ones? (method.md section 8)

Every attack gives each fact one score, higher for what looks trained on: see `ATTACKS`. Members and non-members are
compared in pairs of about equal length, as many of the one as of the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import stats

from duolearn_cli.metrics.intervals import CONFIDENCE, Estimate, bootstrap

# loss: Yeom et al. 2018; zlib: Carlini et al. 2021; min_k: Shi et al. 2024; min_k_plus: Zhang et al. 2025; reference:
# the loss against that of the base model, Carlini et al. 2021.
ATTACKS = ("loss", "zlib", "min_k", "min_k_plus", "reference")
# False-positive rates at which an attack has to be good to be a danger (Carlini et al. 2022).
RATES = {"tpr_1": 0.01, "tpr_01": 0.001}
# Lengths of a pair differ by one token, or by this share of the longer.
GAP = 0.25
# The pairing takes time as the cube of this: of more on a side some are drawn.
MOST = 2000


def matched(members: Mapping[str, float], others: Mapping[str, float], seed: int) -> list[tuple[str, str]]:
    """Pair members with non-members of about the same length, by name; the pairing with the least total difference.

    Both arguments give lengths by name. Who is left over, or would differ by more than `GAP`, is in no pair.
    """
    from scipy.optimize import linear_sum_assignment

    # Of equally good pairings the order decides, which must not be that of the names.
    rng = np.random.default_rng(seed)
    ours, theirs = ([str(name) for name in rng.permutation(sorted(side))[:MOST]] for side in (members, others))
    if not ours or not theirs:
        return []
    left, right = np.array([members[name] for name in ours]), np.array([others[name] for name in theirs])
    distance = np.abs(left[:, None] - right[None, :])
    far = distance > np.maximum(1.0, GAP * np.maximum(left[:, None], right[None, :]))
    # A pair that is not allowed costs more than any number of others could save.
    rows, columns = linear_sum_assignment(np.where(far, distance.sum() + 1, distance))
    return sorted((ours[i], theirs[j]) for i, j in zip(rows, columns, strict=True) if not far[i, j])


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


def tpr_at(member_scores: np.ndarray, other_scores: np.ndarray, rate: float, axis: int = -1) -> np.ndarray:
    """The largest share of members that a threshold finds while at most `rate` of the non-members pass it.

    With fewer than ``1 / rate`` non-members none may pass. Shapes: [..., m] and [..., n] -> [...].
    """
    members, others = np.moveaxis(member_scores, axis, -1), np.sort(np.moveaxis(other_scores, axis, -1), axis=-1)
    # The highest `allowed` may pass: the threshold lies on the next one, and is passed by what is above it. What is
    # there by rounding alone must not cost one.
    allowed = int(rate * others.shape[-1] + 1e-9)
    threshold = others[..., others.shape[-1] - 1 - allowed]
    return (members > threshold[..., None]).mean(-1)


def attack(member_scores: Sequence[float], other_scores: Sequence[float]) -> dict[str, Estimate]:
    """AUC, MIA score and true-positive rates of one attack, one score a fact; empty if a group is empty."""
    if not len(member_scores) or not len(other_scores):
        return {}
    columns = [np.asarray(member_scores, dtype=float), np.asarray(other_scores, dtype=float)]
    n = len(columns[0]) + len(columns[1])
    area = bootstrap(columns, auc, n=n, paired=False)
    score = bootstrap(
        columns, lambda a, b, axis=-1: mia_score(auc(a, b, axis)), n=n, paired=False, higher_is_better=True
    )
    if area.low is not None and area.high is not None and area.low <= 0.5 <= area.high:
        # |x| folds resamples on both sides of a blind attack together: the upper end is 1 whatever they say.
        score = replace(score, high=1.0)
    found = {"auc": area, "score": score}
    for name, rate in RATES.items():

        def found_at(a: np.ndarray, b: np.ndarray, axis: int = -1, rate: float = rate) -> np.ndarray:
            return tpr_at(a, b, rate, axis)

        found[name] = bootstrap(columns, found_at, n=n, paired=False, higher_is_better=False)
    return found


def roc(member_scores: Sequence[float], other_scores: Sequence[float]) -> dict[str, list[float]]:
    """The corners of the ROC curve: ``fpr`` and ``tpr``, both from 0 to 1."""
    from sklearn.metrics import roc_curve

    labels = [1] * len(member_scores) + [0] * len(other_scores)
    fpr, tpr, _ = roc_curve(labels, [*member_scores, *other_scores])
    return {"fpr": fpr.tolist(), "tpr": tpr.tolist()}


def self_check(scores: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> dict[str, Any]:
    """Whether attacks are blind, as they must be, on a model that has seen neither members nor non-members.

    `scores` are members' and non-members' by attack. Each interval is at 95 % for all attacks together (Bonferroni).
    An attack without an interval tells nothing.

    Returns: ``usable``, and by attack the AUC with that interval and whether 0.5 is inside.
    """
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(scores))
    found = {}
    for name, (members, others) in scores.items():
        columns = [np.asarray(members, dtype=float), np.asarray(others, dtype=float)]
        area = bootstrap(columns, auc, n=len(members) + len(others), paired=False, confidence=confidence)
        blind = area.low is None or area.high is None or area.low <= 0.5 <= area.high
        found[name] = {"auc": area.as_dict(), "blind": blind}
    return {"usable": all(one["blind"] for one in found.values()), "confidence": confidence, "attacks": found}
