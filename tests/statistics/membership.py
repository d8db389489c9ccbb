"""Simulations of membership attacks with a known truth, for intervals, the self-check and warnings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import numpy as np
from scipy import stats

from duolearn_cli.evaluation.metrics import membership
from duolearn_cli.evaluation.metrics.intervals import Estimate
from duolearn_cli.evaluation.warnings import flagged, flags
from tests.statistics.cells import Cell

# The number of facts of both sides together; half of them are members.
FACTS = (10, 30, 100, 450)
AREAS = (0.5, 0.6, 0.75, 0.9, 0.97, 1.0)
NUM_ATTACKS = 5
# The share of variance that two questions about a fact have in common.
SHARED = 0.6
# The correlation between the scores of different attacks on one fact, which all read the same losses.
ALIKE = 0.8
FAR = 50.0

Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]


def cells(draws: int) -> Iterator[Cell]:
    """Coverage of AUC, MIA score, worst attack and TPR; false alarms and power of the self-check and of the warnings.

    Simulations that swap pairs have a third of the draws, those of rates a quarter, since they take longer.
    """
    for facts in FACTS:
        for area in AREAS:
            for name, draw in drawn(area).items():
                yield from areas(draws, facts, area, name, draw)
        few = max(1, draws // 3)
        yield worst(few, facts, 0.5)
        yield worst(few, facts, 0.75)
        yield check_alarms(few, facts)
        yield flag_alarms(few, facts)
        yield check_power(few, facts)
    for rate, facts in (("tpr_1", 450), ("tpr_1", 1000), ("tpr_01", 2000)):
        for truth in (0.02, 0.1, 0.5, 0.9):
            yield rates(max(1, draws // 4), facts, rate, truth)


def by_fact(rng: np.random.Generator, facts: int) -> np.ndarray:
    """Scores of facts, each the mean over two questions, with variance 1. Shape: [facts]."""
    shared = rng.normal(scale=np.sqrt(SHARED), size=(facts, 1))
    questions = shared + rng.normal(scale=np.sqrt(1 - SHARED), size=(facts, 2))
    return questions.mean(-1) / np.sqrt((1 + SHARED) / 2)


def drawn(area: float) -> dict[str, Draw]:
    """Functions that draw the scores of members and non-members with true AUC `area`, by how the two differ."""
    away = stats.norm.ppf(area)

    def moved(rng: np.random.Generator, pairs: int) -> tuple[np.ndarray, np.ndarray]:
        shift = FAR if area == 1 else np.sqrt(2) * away
        return by_fact(rng, pairs) + shift, by_fact(rng, pairs)

    def spread(rng: np.random.Generator, pairs: int) -> tuple[np.ndarray, np.ndarray]:
        return 3 * by_fact(rng, pairs) + (FAR if area == 1 else np.sqrt(10) * away), by_fact(rng, pairs)

    def parted(rng: np.random.Generator, pairs: int) -> tuple[np.ndarray, np.ndarray]:
        stands_out = rng.random(pairs) < 2 * area - 1
        return by_fact(rng, pairs) + FAR * stands_out, by_fact(rng, pairs)

    return {"all members moved": moved, "members thrice as spread": spread, "some members far off": parted}


def areas(draws: int, facts: int, area: float, name: str, draw: Draw) -> Iterator[Cell]:
    """How often the intervals of AUC and MIA score of one attack cover the truth."""
    rng = np.random.default_rng([facts, round(100 * area), len(name)])
    draws_of_figures = [membership.attack(*map(list, draw(rng, facts // 2))) for _ in range(draws)]
    truths = {"AUC": ("auc", area), "MIA score": ("score", 1 - 2 * abs(area - 0.5))}
    for figure, (key, truth) in truths.items():
        yield covered(figure, f"AUC {area:g}, {name}", facts, truth, [one[key] for one in draws_of_figures])


def covered(figure: str, truth: str, facts: int, value: float, estimates: list[Estimate]) -> Cell:
    """The share of the estimates whose interval holds `value`; one without an interval does not."""
    ends = [(one.low, one.high) for one in estimates if one.low is not None and one.high is not None]
    hits = [low - 1e-12 <= value <= high + 1e-12 for low, high in ends]
    width = median(high - low for low, high in ends)
    return Cell(figure, "coverage", truth, size(facts), 0.95, sum(hits) / len(estimates), len(estimates), width)


def size(facts: int) -> str:
    return f"{facts} facts of 2 questions, half of them members"


def alike(rng: np.random.Generator, pairs: int, area: float = 0.5) -> membership.Scores:
    """Scores of several attacks, correlated as those that read the same losses are, each with true AUC `area`."""
    scores = {}
    shared = [by_fact(rng, pairs) for _ in range(2)]
    for name in membership.ATTACKS[:NUM_ATTACKS]:
        own = [np.sqrt(ALIKE) * one + np.sqrt(1 - ALIKE) * by_fact(rng, pairs) for one in shared]
        scores[name] = ((own[0] + np.sqrt(2) * stats.norm.ppf(area)).tolist(), own[1].tolist())
    return scores


def worst(draws: int, facts: int, area: float) -> Cell:
    """How often the interval of the worst attack's score covers the true score, which is the same for all attacks."""
    rng = np.random.default_rng([facts, round(100 * area), 1])
    scores = [membership.attacks(alike(rng, facts // 2, area))[1]["score"] for _ in range(draws)]
    truth = f"AUC {area:g} of all five attacks"
    return covered("MIA score, worst attack", truth, facts, 1 - 2 * abs(area - 0.5), scores)


def rates(draws: int, facts: int, key: str, truth: float) -> Cell:
    """How often the interval of a true-positive rate covers the share of members above the true threshold."""
    rng = np.random.default_rng([facts, round(100 * truth), 2])
    rate = membership.RATES[key]
    shift = stats.norm.isf(rate) - stats.norm.isf(truth)
    pairs = facts // 2
    estimates = [
        membership.attack((by_fact(rng, pairs) + shift).tolist(), by_fact(rng, pairs).tolist())[key]
        for _ in range(draws)
    ]
    return covered(f"TPR at {100 * rate:g} % FPR", f"TPR {truth:g}", facts, truth, estimates)


def alarms(draws: int, seed: list[int], pairs: int, area: float, raised: Callable[[membership.Scores], bool]) -> float:
    """The share of draws for which `raised` is true, if all attacks have true AUC `area`."""
    rng = np.random.default_rng(seed)
    return sum(raised(alike(rng, pairs, area)) for _ in range(draws)) / draws


def is_seen(scores: membership.Scores) -> bool:
    return membership.self_check(scores)["usable"] is False


def check_alarms(draws: int, facts: int) -> Cell:
    """How often a sound split is called unusable."""
    share = alarms(draws, [facts, 3], facts // 2, 0.5, is_seen)
    return Cell("self-check", "false alarms", "nothing differs, five attacks", size(facts), 0.05, share, draws)


def check_power(draws: int, facts: int) -> Cell:
    """How often a split is called unusable whose true AUC is the one that the self-check calls detectable."""
    pairs = facts // 2
    detectable = membership.self_check(alike(np.random.default_rng([facts, 4]), pairs))["detectable"]
    share = alarms(draws, [facts, 5], pairs, detectable, is_seen) if detectable else 0.0
    truth = f"AUC {detectable:.2f} (detectable)" if detectable else "too few pairs: none is detectable"
    return Cell("self-check", "power", truth, size(facts), membership.POWER if detectable else 0.0, share, draws)


def flag_alarms(draws: int, facts: int) -> Cell:
    """How often a model without any difference between the sides gets a warning of an AUC below 0.5."""

    def raised(scores: membership.Scores) -> bool:
        by_attack, _ = membership.attacks(scores)
        entry: dict[str, Any] = {
            "scores": {"mia_auc": by_attack["loss"]["auc"].as_dict()},
            "membership": {name: {key: one.as_dict() for key, one in own.items()} for name, own in by_attack.items()},
        }
        return any(measure.startswith("mia_") for measure in flagged(flags({"unlearned": entry}, 0.25)))

    share = alarms(draws, [facts, 6], facts // 2, 0.5, raised)
    return Cell("flag: AUC under 0.5", "false alarms", "nothing differs, five attacks", size(facts), 0.05, share, draws)
