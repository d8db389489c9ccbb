"""What intervals, verdicts and flags of membership attacks find where the truth is known: rows of docs/intervals.md."""

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

# Facts of both sides together: half of them are members.
FACTS = (10, 30, 100, 450)
AREAS = (0.5, 0.6, 0.75, 0.9, 0.97, 1.0)
NUM_ATTACKS = 5
# What two questions about a fact share of their variance.
SHARED = 0.6
# Correlation between the scores of different attacks on one fact: all of them read the same losses.
ALIKE = 0.8
FAR = 50.0

Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]


def cells(draws: int) -> Iterator[Cell]:
    """Coverage of AUC, MIA score, worst attack and TPR; false alarms and power of the self-check and the flags.

    A third of the draws where each swaps pairs, a quarter for the rates: these take longer.
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
    """Scores of facts, the mean over two questions each; of variance 1. Shape: [facts]."""
    shared = rng.normal(scale=np.sqrt(SHARED), size=(facts, 1))
    questions = shared + rng.normal(scale=np.sqrt(1 - SHARED), size=(facts, 2))
    return questions.mean(-1) / np.sqrt((1 + SHARED) / 2)


def drawn(area: float) -> dict[str, Draw]:
    """Members and non-members whose true AUC is `area`, by how they differ; one draw of so many pairs."""
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
    found = [membership.attack(*map(list, draw(rng, facts // 2))) for _ in range(draws)]
    truths = {"AUC": ("auc", area), "MIA score": ("score", 1 - 2 * abs(area - 0.5))}
    for figure, (key, truth) in truths.items():
        yield covered(figure, f"AUC {area:g}, {name}", facts, truth, [one[key] for one in found])


def covered(figure: str, truth: str, facts: int, value: float, found: list[Estimate]) -> Cell:
    """The share of intervals that hold `value`."""
    ends = [(one.low, one.high) for one in found if one.low is not None and one.high is not None]
    hits = [low - 1e-12 <= value <= high + 1e-12 for low, high in ends]
    width = median(high - low for low, high in ends)
    return Cell(figure, "coverage", truth, size(facts), 0.95, sum(hits) / len(found), len(found), width)


def size(facts: int) -> str:
    return f"{facts} facts of 2 questions, half of them members"


def alike(rng: np.random.Generator, pairs: int, area: float = 0.5) -> membership.Scores:
    """Scores of several attacks, alike as those that read the same losses are, each with this true AUC."""
    found = {}
    shared = [by_fact(rng, pairs) for _ in range(2)]
    for name in membership.ATTACKS[:NUM_ATTACKS]:
        own = [np.sqrt(ALIKE) * one + np.sqrt(1 - ALIKE) * by_fact(rng, pairs) for one in shared]
        found[name] = ((own[0] + np.sqrt(2) * stats.norm.ppf(area)).tolist(), own[1].tolist())
    return found


def worst(draws: int, facts: int, area: float) -> Cell:
    """How often the interval of the worst attack's score covers the true score, which is the same for all attacks."""
    rng = np.random.default_rng([facts, round(100 * area), 1])
    found = [membership.attacks(alike(rng, facts // 2, area))[1]["score"] for _ in range(draws)]
    truth = f"AUC {area:g} of all five attacks"
    return covered("MIA score, worst attack", truth, facts, 1 - 2 * abs(area - 0.5), found)


def rates(draws: int, facts: int, key: str, truth: float) -> Cell:
    """How often the interval of a true-positive rate covers the share of members above the true threshold."""
    rng = np.random.default_rng([facts, round(100 * truth), 2])
    rate = membership.RATES[key]
    shift = stats.norm.isf(rate) - stats.norm.isf(truth)
    pairs = facts // 2
    found = [
        membership.attack((by_fact(rng, pairs) + shift).tolist(), by_fact(rng, pairs).tolist())[key]
        for _ in range(draws)
    ]
    return covered(f"TPR at {100 * rate:g} % FPR", f"TPR {truth:g}", facts, truth, found)


def alarms(draws: int, seed: list[int], pairs: int, area: float, said: Callable[[membership.Scores], bool]) -> float:
    """The share of draws of which `said` is true, all attacks having this AUC."""
    rng = np.random.default_rng(seed)
    return sum(said(alike(rng, pairs, area)) for _ in range(draws)) / draws


def is_seen(scores: membership.Scores) -> bool:
    return membership.self_check(scores)["usable"] is False


def check_alarms(draws: int, facts: int) -> Cell:
    """How often a sound split is called unusable."""
    found = alarms(draws, [facts, 3], facts // 2, 0.5, is_seen)
    return Cell("self-check", "false alarms", "nothing differs, five attacks", size(facts), 0.05, found, draws)


def check_power(draws: int, facts: int) -> Cell:
    """How often a split is called unusable whose AUC is what the self-check of a sound one calls detectable."""
    pairs = facts // 2
    told = membership.self_check(alike(np.random.default_rng([facts, 4]), pairs))["detectable"]
    found = alarms(draws, [facts, 5], pairs, told, is_seen) if told else 0.0
    truth = f"AUC {told:.2f} (detectable)" if told else "too few pairs: none is detectable"
    return Cell("self-check", "power", truth, size(facts), membership.POWER if told else 0.0, found, draws)


def flag_alarms(draws: int, facts: int) -> Cell:
    """How often a model that nothing can be told of is said to have an AUC below 0.5, by any attack."""

    def said(scores: membership.Scores) -> bool:
        by_attack, _ = membership.attacks(scores)
        entry: dict[str, Any] = {
            "scores": {"mia_auc": by_attack["loss"]["auc"].as_dict()},
            "membership": {name: {key: one.as_dict() for key, one in own.items()} for name, own in by_attack.items()},
        }
        return any(measure.startswith("mia_") for measure in flagged(flags({"unlearned": entry}, 0.25)))

    found = alarms(draws, [facts, 6], facts // 2, 0.5, said)
    return Cell("flag: AUC under 0.5", "false alarms", "nothing differs, five attacks", size(facts), 0.05, found, draws)
