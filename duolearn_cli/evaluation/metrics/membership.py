"""Membership inference: can an attacker tell trained items from never-seen ones? (method.md section 8)

Every attack gives each fact one score, higher for what looks trained on: see `ATTACKS`. Members and non-members are
compared in pairs of about equal length, as many of the one as of the other. If nothing tells them apart, either side of
a pair is as likely to be the member: swapping sides at random is the null that all is judged by.
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

# loss: Yeom et al. 2018; zlib: after Carlini et al. 2021, who divide the whole text's loss by the whole text's bytes:
# here the summed loss of the answer alone is divided by the bytes of the answer alone; min_k: Shi et al. 2024;
# min_k_plus: Zhang et al. 2025; reference: the loss against that of the base model, Carlini et al. 2021.
ATTACKS = ("loss", "zlib", "min_k", "min_k_plus", "reference")
# False-positive rates at which an attack has to be good to be a danger (Carlini et al. 2022).
RATES = {"tpr_1": 0.01, "tpr_01": 0.001}
# Lengths of a pair differ by one token, or by this share of the longer.
GAP = 0.25
# The pairing takes time as the cube of this: of more on a side some are drawn.
MOST = 2000
# So few pairs have all their swaps counted; of more, `RESAMPLES` are drawn.
FEW_PAIRS = 10
# How often a difference that is called detectable is seen.
POWER = 0.8

Scores = Mapping[str, tuple[Sequence[float], Sequence[float]]]


@dataclass(frozen=True, slots=True)
class Withheld(Estimate):
    """A figure that the data cannot give; the value is not a number, null in JSON."""

    reason: str = ""


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


def mia_score(area: np.ndarray | float) -> np.ndarray:
    """1 - 2 |AUC - 0.5|: 1 if the attack sees nothing, 0 if it is always right (or always wrong)."""
    return np.asarray(1 - 2 * np.abs(np.asarray(area) - 0.5))


def attack(member_scores: Sequence[float], other_scores: Sequence[float]) -> dict[str, Estimate]:
    """AUC, MIA score and true-positive rates of one attack, one score a fact; empty if a group is empty.

    A true-positive rate at a rate of false positives that would allow less than one non-member is `Withheld`.
    """
    if not len(member_scores) or not len(other_scores):
        return {}
    members, others = np.asarray(member_scores, dtype=float), np.asarray(other_scores, dtype=float)
    (area,) = _areas(members, others)
    return {"auc": area, "score": _folded(area), **_rates(members, others)}


def _rates(members: np.ndarray, others: np.ndarray) -> dict[str, Estimate]:
    found: dict[str, Estimate] = {}
    n, pairs = len(members) + len(others), min(len(members), len(others))
    for name, rate in RATES.items():
        if len(others) < round(1 / rate):
            reason = f"needs {round(1 / rate):,} non-members, there are {len(others):,}"
            found[name] = Withheld(np.nan, None, None, n, higher_is_better=False, facts=pairs, reason=reason)
        else:
            ends = tpr_interval(members, others, rate)
            found[name] = Estimate(tpr_at(members, others, rate), *ends, n, higher_is_better=False, facts=pairs)
    return found


def _areas(members: np.ndarray, others: np.ndarray, critical: float | None = None) -> list[Estimate]:
    """The AUC with an interval at 95 %, and, given `critical`, once more with so many standard errors on each side."""
    area, trials = auc_and_trials(members, others)
    ends = [wilson(area, trials), *([] if critical is None else [wilson(area, trials, critical)])]
    n, pairs = len(members) + len(others), min(len(members), len(others))
    return [Estimate(float(area), float(low), float(high), n, facts=pairs) for low, high in ends]


def _folded(area: Estimate) -> Estimate:
    """The MIA score of an AUC; every AUC in the one interval has its score in the other."""
    low, high = (present(end, "the interval of an AUC") for end in (area.low, area.high))
    ends = [float(mia_score(end)) for end in (low, high)]
    high = 1.0 if low <= 0.5 <= high else max(ends)
    return Estimate(float(mia_score(area.value)), min(ends), high, area.n, higher_is_better=True, facts=area.facts)


@dataclass(frozen=True, eq=False, slots=True)
class Null:
    """What AUCs would be if nothing told members from non-members: the sides of pairs swapped at random.

    All attacks have the same swaps, so that what the largest of several would be is known, too.

    Attributes:
        away: |AUC - 0.5| of each swap by attack. Shape: [swaps, attacks].
        deviation: of AUC, over swaps and attacks.
    """

    away: np.ndarray
    deviation: float

    @classmethod
    def of(cls, scores: Scores, seed: int = 0) -> Null:
        """From members' and non-members' scores by attack, each in the order of the pairs.

        Raises:
            ValueError: a score is not a number, and has no rank.
        """
        # With ranks r in both sides together, AUC - 0.5 is the sum over pairs of r(member) - r(non-member), over 2 n^2.
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
        """|AUC - 0.5| of the best attack of each swap."""
        return self.away.max(-1)

    @property
    def threshold(self) -> float | None:
        """An attack is seen, all of them judged together at 95 %, with |AUC - 0.5| above this.

        None: so few pairs can show nothing.
        """
        # p <= 5 % allows so many swaps that are as far away, the true one among them.
        ordered = np.sort(self.largest)[::-1]
        beyond = ordered[int((1 - CONFIDENCE) * len(ordered) + 1e-9)]
        return None if beyond >= ordered[0] - 1e-12 else float(beyond)

    def p_value(self, area: float) -> float:
        """Of an attack with this AUC, all judged together: the share of swaps whose best attack is as far from 0.5."""
        return float((self.largest >= abs(area - 0.5) - 1e-12).mean())

    @property
    def critical(self) -> float:
        """Standard errors on each side of intervals that hold for all attacks together at 95 %."""
        one, all_of_them = (special.ndtri(1 - (1 - CONFIDENCE) / 2 / m) for m in (1, self.away.shape[1]))
        reach = np.quantile(self.largest, CONFIDENCE)
        return float(np.clip(reach / self.deviation if self.deviation else all_of_them, one, all_of_them))

    def detectable(self, pairs: int) -> float | None:
        """The smallest true AUC above 0.5 that would be seen in `POWER` of all draws of pairs; None: no AUC below 1.

        The spread at that AUC is Hanley and McNeil's (1982).
        """
        threshold = self.threshold
        if threshold is None:
            return None

        def missing(area: float) -> float:
            more = (pairs - 1) * ((1 - area) / (2 - area) + area / (1 + area))
            spread = np.sqrt(area * (1 - area) * (1 + more)) / pairs
            return area - 0.5 - threshold - special.ndtri(POWER) * spread

        return float(optimize.root_scalar(missing, bracket=(0.5, 1.0)).root) if missing(1.0) > 0 else None


@lru_cache(maxsize=2)
def _signs(pairs: int, seed: int) -> np.ndarray:
    """Rows of swaps: 1 for a pair as it is, -1 for one that is swapped. The first row swaps none.

    The same for every model of a run, hence kept; nobody may write to it.
    """
    if pairs <= FEW_PAIRS:
        return np.array(list(itertools.product((1.0, -1.0), repeat=pairs)))
    drawn = np.random.default_rng(seed).integers(0, 2, (RESAMPLES - 1, pairs)) * 2.0 - 1.0
    return np.concatenate([np.ones((1, pairs)), drawn])


def _expected(away: np.ndarray, of: Estimate) -> Estimate:
    """The mean MIA score over swaps of the pairs `of` is of; 95 % of them are above its lower end. Shape: [swaps]."""
    scores = mia_score(0.5 + away)
    return Estimate(float(scores.mean()), float(np.quantile(scores, 1 - CONFIDENCE)), 1.0, of.n, facts=of.facts)


def attacks(scores: Scores) -> tuple[dict[str, dict[str, Estimate]], dict[str, Any]]:
    """Every attack's figures, and the worst attack: that with the lowest MIA score. Both empty without a pair.

    Beside what `attack` gives, each attack has ``expected``, its MIA score if nothing differed, and ``auc_together``,
    whose intervals hold for all attacks together. The worst one has its name (``attack``), ``auc``, ``score`` (both at
    95 % for the choice among all), ``expected`` and ``p_value``: of swaps, the worst attack of each being chosen.
    """
    scores = {name: sides for name, sides in scores.items() if len(sides[0])}
    if not scores:
        return {}, {}
    null = Null.of(scores)
    critical, found = null.critical, {}
    for away, (name, sides) in zip(null.away.T, scores.items(), strict=True):
        members, others = (np.asarray(side, dtype=float) for side in sides)
        area, together = _areas(members, others, critical)
        found[name] = {"auc": area, "score": _folded(area), "expected": _expected(away, area)}
        found[name] |= {"auc_together": together, **_rates(members, others)}
    together = {name: _folded(one["auc_together"]) for name, one in found.items()}
    worst = min(together, key=lambda name: together[name].value)
    low, high = (min(getattr(one, end) for one in together.values()) for end in ("low", "high"))
    area, value = found[worst]["auc_together"], together[worst].value
    return found, {
        "attack": worst,
        "auc": area,
        "score": Estimate(value, low, high, area.n, higher_is_better=True, facts=area.facts),
        "expected": _expected(null.largest, area),
        "p_value": null.p_value(area.value),
    }


def roc(member_scores: Sequence[float], other_scores: Sequence[float]) -> dict[str, list[float]]:
    """The corners of the ROC curve: ``fpr`` and ``tpr``, both from 0 to 1."""
    from sklearn.metrics import roc_curve

    labels = [1] * len(member_scores) + [0] * len(other_scores)
    fpr, tpr, _ = roc_curve(labels, [*member_scores, *other_scores])
    return {"fpr": fpr.tolist(), "tpr": tpr.tolist()}


def self_check(scores: Scores) -> dict[str, Any]:
    """Whether attacks see a difference where none was made: on a model that saw neither members nor non-members.

    `scores` are members' and non-members' by attack, one pair at least. An attack sees a difference where swapping the
    sides of pairs at random gives the best attack an AUC as far from 0.5 in at most 5 % of the swaps: sound splits are
    accused that often, whatever their size. Intervals are at 95 % for all attacks together.

    Returns: ``usable`` (None: so few pairs can show nothing), ``detectable`` (see `Null.detectable`), ``confidence`` of
    each interval by itself, and by attack the AUC with that interval, ``p_value`` and ``seen``.
    """
    null = Null.of(scores)
    critical, found = null.critical, {}
    for name, sides in scores.items():
        members, others = (np.asarray(side, dtype=float) for side in sides)
        _, area = _areas(members, others, critical)
        p_value = null.p_value(area.value)
        found[name] = {"auc": area.as_dict(), "p_value": p_value, "seen": p_value <= 1 - CONFIDENCE}
    usable = None if null.threshold is None else not any(one["seen"] for one in found.values())
    return {
        "usable": usable,
        "detectable": null.detectable(len(next(iter(scores.values()))[0])),
        "confidence": float(2 * special.ndtr(critical) - 1),
        "attacks": found,
    }
