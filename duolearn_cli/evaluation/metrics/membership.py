"""Membership inference: can an attacker tell trained items from unseen ones? (docs/measuring.md)

Every attack (`ATTACKS`) gives each fact one score, which should be higher for members, the trained facts. Members and
non-members are compared in pairs of about equal length. The null hypothesis is that nothing distinguishes them: either
side of a pair is then equally likely to be the member, and swapping sides at random gives the null distribution.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import optimize, special, stats

from duolearn_cli.errors import present
from duolearn_cli.evaluation.metrics.auc import auc_and_trials, tpr_at, tpr_interval, wilson
from duolearn_cli.evaluation.metrics.intervals import CONFIDENCE, RESAMPLES, Estimate

# The attacks and their sources:
#   loss        Yeom et al. 2018
#   zlib        after Carlini et al. 2021, who divide the loss of the whole text by its compressed bytes; here it is
#               the summed loss of the answer, divided by the compressed bytes of the answer
#   min_k       Shi et al. 2024
#   min_k_plus  Zhang et al. 2025
#   reference   Carlini et al. 2021: the loss relative to the base model's
ATTACKS = ("loss", "zlib", "min_k", "min_k_plus", "reference")
# False-positive rates at which an attack must succeed to be a danger (Carlini et al. 2022).
RATES = {"tpr_1": 0.01, "tpr_01": 0.001}
# The lengths of a pair differ by at most one token, or by this share of the longer.
GAP = 0.25
# The pairing takes cubic time, so at most this many facts of a side are drawn for it.
MOST = 2000
# Up to this many pairs all swaps are enumerated; for more, `RESAMPLES` are drawn.
FEW_PAIRS = 10
# A difference counts as detectable if it would be detected with this probability.
POWER = 0.8

Scores = Mapping[str, tuple[Sequence[float], Sequence[float]]]


@dataclass(frozen=True, slots=True)
class Withheld(Estimate):
    """A figure that the data are too few for. The value is NaN, null in JSON; `reason` says what is missing."""

    reason: str = ""


def matched(members: Mapping[str, float], others: Mapping[str, float], seed: int) -> list[tuple[str, str]]:
    """Pair members with non-members of about the same length, with the least total difference in length.

    Args:
        members: the length of each member in tokens, by name.
        others: the length of each non-member.
        seed: of the choice among equally good pairings.

    Returns:
        Pairs of names, sorted. Facts without a partner within `GAP` are left out.
    """
    from scipy.optimize import linear_sum_assignment

    # The order decides among equally good pairings. It must not be the order of the names, hence the permutation.
    rng = np.random.default_rng(seed)
    ours, theirs = ([str(name) for name in rng.permutation(sorted(side))[:MOST]] for side in (members, others))
    if not ours or not theirs:
        return []
    left, right = np.array([members[name] for name in ours]), np.array([others[name] for name in theirs])
    distance = np.abs(left[:, None] - right[None, :])
    far = distance > np.maximum(1.0, GAP * np.maximum(left[:, None], right[None, :]))
    # A forbidden pair costs more than all other pairs together could save.
    rows, columns = linear_sum_assignment(np.where(far, distance.sum() + 1, distance))
    return sorted((ours[i], theirs[j]) for i, j in zip(rows, columns, strict=True) if not far[i, j])


def mia_score(area: np.ndarray | float) -> np.ndarray:
    """The MIA score ``1 - 2 |AUC - 0.5|``: 1 if the attack is at chance, 0 if it is always right or always wrong."""
    return np.asarray(1 - 2 * np.abs(np.asarray(area) - 0.5))


def attack(member_scores: Sequence[float], other_scores: Sequence[float]) -> dict[str, Estimate]:
    """AUC, MIA score and true-positive rates of one attack, from one score for each fact; empty if a group is empty.

    A true-positive rate is `Withheld` if its false-positive rate allows less than one non-member.
    """
    if not len(member_scores) or not len(other_scores):
        return {}
    members, others = np.asarray(member_scores, dtype=float), np.asarray(other_scores, dtype=float)
    (area,) = _areas(members, others)
    return {"auc": area, "score": _folded(area), **_rates(members, others)}


def _rates(members: np.ndarray, others: np.ndarray) -> dict[str, Estimate]:
    """The true-positive rates at `RATES`, by name."""
    rates: dict[str, Estimate] = {}
    n, pairs = len(members) + len(others), min(len(members), len(others))
    for name, rate in RATES.items():
        if len(others) < round(1 / rate):
            reason = f"needs {round(1 / rate):,} non-members, there are {len(others):,}"
            rates[name] = Withheld(np.nan, None, None, n, higher_is_better=False, facts=pairs, reason=reason)
        else:
            ends = tpr_interval(members, others, rate)
            rates[name] = Estimate(tpr_at(members, others, rate), *ends, n, higher_is_better=False, facts=pairs)
    return rates


def _areas(members: np.ndarray, others: np.ndarray, critical: float | None = None) -> list[Estimate]:
    """The AUC with its 95 % interval and, with `critical`, again with that many standard errors on each side."""
    area, trials = auc_and_trials(members, others)
    ends = [wilson(area, trials), *([] if critical is None else [wilson(area, trials, critical)])]
    n, pairs = len(members) + len(others), min(len(members), len(others))
    return [Estimate(float(area), float(low), float(high), n, facts=pairs) for low, high in ends]


def _folded(area: Estimate) -> Estimate:
    """The MIA score of an AUC. Its interval holds the scores of all AUCs in the AUC's interval."""
    low, high = (present(end, "the interval of an AUC") for end in (area.low, area.high))
    ends = [float(mia_score(end)) for end in (low, high)]
    # The score has its maximum at an AUC of 0.5, which may lie inside the interval.
    high = 1.0 if low <= 0.5 <= high else max(ends)
    return Estimate(float(mia_score(area.value)), min(ends), high, area.n, higher_is_better=True, facts=area.facts)


@dataclass(frozen=True, eq=False, slots=True)
class Null:
    """The null distribution of AUCs, if nothing distinguishes members from non-members: sides are swapped at random.

    All attacks share the same swaps, so that the distribution of the most successful of several attacks follows too.

    Attributes:
        away: |AUC - 0.5| of each swap and attack. Shape: [swaps, attacks].
        deviation: the standard deviation of the AUC over swaps and attacks.
    """

    away: np.ndarray
    deviation: float

    @classmethod
    def of(cls, scores: Scores, seed: int = 0) -> Null:
        """The null distribution for `scores`: by attack, the scores of members and of non-members in the order of
        pairs.

        Raises:
            ValueError: a score is NaN, which has no rank.
        """
        # With r the ranks in both sides together, AUC - 0.5 = sum over pairs of (r(member) - r(non-member)) / (2 n^2).
        # A swap changes the sign of its pair's term.
        gaps = []
        for name, (members, others) in scores.items():
            both = np.concatenate([members, others])
            if np.isnan(both).any():
                raise ValueError(f"a score of the {name} attack is not a number")
            ranks = stats.rankdata(both)
            gaps.append((ranks[: len(members)] - ranks[len(members) :]) / (2 * len(members) ** 2))
        by_pair = np.stack(gaps, axis=-1)
        moved = _signs(len(by_pair), seed) @ by_pair
        return cls(np.abs(moved), float(np.sqrt((moved**2).mean())))

    @property
    def largest(self) -> np.ndarray:
        """|AUC - 0.5| of the most successful attack of each swap. Shape: [swaps]."""
        return self.away.max(-1)

    @property
    def threshold(self) -> float | None:
        """The |AUC - 0.5| above which an attack is significant at 5 %, corrected for the number of attacks.

        None if there are so few pairs that nothing can be significant.
        """
        # p <= 5 % means that at most so many swaps, the unswapped one included, are as far from 0.5.
        ordered = np.sort(self.largest)[::-1]
        critical = ordered[int((1 - CONFIDENCE) * len(ordered) + 1e-9)]
        return None if critical >= ordered[0] - 1e-12 else float(critical)

    def p_value(self, area: float) -> float:
        """The p-value of an AUC, corrected for the number of attacks.

        It is the share of swaps whose most successful attack is at least as far from 0.5.
        """
        return float((self.largest >= abs(area - 0.5) - 1e-12).mean())

    @property
    def critical(self) -> float:
        """How many standard errors on each side give intervals that hold for all attacks together at 95 %."""
        # Attacks that read the same losses are correlated: the value lies between that of one attack and Bonferroni's.
        one, bonferroni = (special.ndtri(1 - (1 - CONFIDENCE) / 2 / m) for m in (1, self.away.shape[1]))
        reach = np.quantile(self.largest, CONFIDENCE)
        return float(np.clip(reach / self.deviation if self.deviation else bonferroni, one, bonferroni))

    def detectable(self, pairs: int) -> float | None:
        """The smallest true AUC above 0.5 that would be significant with probability `POWER`; None if there is none.

        The standard error at that AUC is Hanley and McNeil's (1982).
        """
        threshold = self.threshold
        if threshold is None:
            return None

        def margin(area: float) -> float:
            more = (pairs - 1) * ((1 - area) / (2 - area) + area / (1 + area))
            spread = np.sqrt(area * (1 - area) * (1 + more)) / pairs
            return area - 0.5 - threshold - special.ndtri(POWER) * spread

        return float(optimize.root_scalar(margin, bracket=(0.5, 1.0)).root) if margin(1.0) > 0 else None


@lru_cache(maxsize=2)
def _signs(pairs: int, seed: int) -> np.ndarray:
    """The swaps: 1 for a pair as it is, -1 for a swapped one. The first row swaps none. Shape: [swaps, pairs].

    Every model of a run uses the same swaps, hence the cache. The array must not be written to.
    """
    if pairs <= FEW_PAIRS:
        return np.array(list(itertools.product((1.0, -1.0), repeat=pairs)))
    drawn = np.random.default_rng(seed).integers(0, 2, (RESAMPLES - 1, pairs)) * 2.0 - 1.0
    return np.concatenate([np.ones((1, pairs)), drawn])


def _expected(away: np.ndarray, of: Estimate) -> Estimate:
    """The MIA score that is expected under the null: its mean over swaps, and the value that 95 % of them exceed.

    Shape of `away`: [swaps]. `of` is the estimate whose counts the result gets.
    """
    scores = mia_score(0.5 + away)
    return Estimate(float(scores.mean()), float(np.quantile(scores, 1 - CONFIDENCE)), 1.0, of.n, facts=of.facts)


def attacks(scores: Scores) -> tuple[dict[str, dict[str, Estimate]], dict[str, Any]]:
    """The figures of every attack, and of the worst attack, the one with the lowest MIA score. Both empty without
    pairs.

    Args:
        scores: by attack, the scores of members and of non-members, in the order of the pairs.

    Returns:
        By attack, the figures of `attack` and two more: ``expected``, its MIA score under the null, and
        ``auc_together``, whose interval holds for all attacks together. For the worst attack, its name (``attack``),
        ``auc`` and ``score`` with intervals corrected for the choice among all, ``expected`` and ``p_value``, for
        which the worst attack of each swap was chosen as well.
    """
    scores = {name: sides for name, sides in scores.items() if len(sides[0])}
    if not scores:
        return {}, {}
    null = Null.of(scores)
    critical, figures = null.critical, {}
    for away, (name, sides) in zip(null.away.T, scores.items(), strict=True):
        members, others = (np.asarray(side, dtype=float) for side in sides)
        area, together = _areas(members, others, critical)
        figures[name] = {"auc": area, "score": _folded(area), "expected": _expected(away, area)}
        figures[name] |= {"auc_together": together, **_rates(members, others)}
    together = {name: _folded(one["auc_together"]) for name, one in figures.items()}
    worst = min(together, key=lambda name: together[name].value)
    # The true score of the worst attack is the smallest of the true scores, each of which lies in its interval.
    low, high = (min(getattr(one, end) for one in together.values()) for end in ("low", "high"))
    area, value = figures[worst]["auc_together"], together[worst].value
    return figures, {
        "attack": worst,
        "auc": area,
        "score": Estimate(value, low, high, area.n, higher_is_better=True, facts=area.facts),
        "expected": _expected(null.largest, area),
        "p_value": null.p_value(area.value),
    }


def roc(member_scores: Sequence[float], other_scores: Sequence[float]) -> dict[str, list[float]]:
    """The corners of the ROC curve: false-positive rates ``fpr`` and true-positive rates ``tpr``, from 0 to 1."""
    from sklearn.metrics import roc_curve

    labels = [1] * len(member_scores) + [0] * len(other_scores)
    fpr, tpr, _ = roc_curve(labels, [*member_scores, *other_scores])
    return {"fpr": fpr.tolist(), "tpr": tpr.tolist()}


def self_check(scores: Scores) -> dict[str, Any]:
    """Check the attacks on a model that was trained on neither side: none of them should see a difference.

    An attack sees a difference if its p-value is at most 5 %, corrected for the number of attacks. Sound splits are
    falsely accused that often, whatever their size.

    Args:
        scores: by attack, the scores of members and of non-members; at least one pair.

    Returns:
        ``usable``: whether no attack sees a difference; None if there are too few pairs to see any. ``detectable``: see
        `Null.detectable`. ``confidence``: of each interval alone, such that all together hold at 95 %. ``attacks``: the
        AUC with that interval, ``p_value`` and ``seen`` of each.
    """
    null = Null.of(scores)
    critical, figures = null.critical, {}
    for name, sides in scores.items():
        members, others = (np.asarray(side, dtype=float) for side in sides)
        _, area = _areas(members, others, critical)
        p_value = null.p_value(area.value)
        figures[name] = {"auc": area.as_dict(), "p_value": p_value, "seen": p_value <= 1 - CONFIDENCE}
    usable = None if null.threshold is None else not any(one["seen"] for one in figures.values())
    return {
        "usable": usable,
        "detectable": null.detectable(len(next(iter(scores.values()))[0])),
        "confidence": float(2 * special.ndtr(critical) - 1),
        "attacks": figures,
    }
