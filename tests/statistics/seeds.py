"""Simulations of figures over seeds with a known truth: means, differences, ranks.

All seeds are asked the same facts. A fact is hard or easy for all seeds, a seed is good or bad at all facts, and each
pair of both has an effect of its own. A fact has two phrasings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from scipy import special, stats

from duolearn_cli.benchmarks.methods.record import Result
from duolearn_cli.benchmarks.methods.volumes import volumes
from duolearn_cli.evaluation.measures import limits_of
from duolearn_cli.evaluation.metrics import membership
from duolearn_cli.evaluation.metrics.seeds import (
    auc_errors,
    difference_over_seeds,
    over_seeds,
    ratio_errors,
)
from duolearn_cli.report.answers import Answers
from tests import formulas
from tests.statistics.cells import Cell

FACTS = (15, 30, 37, 100, 450)
SEEDS = (3, 5)
PHRASINGS, OPTIONS = 2, 4
Kind = Literal["coverage", "false alarms", "power"]
Covered = tuple[bool, float]
# Standard deviations, in logits, of the effects of facts, of seeds, and of their pairs.
SPREADS = {"facts differ": (1.5, 0.0, 0.3), "seeds differ": (0.7, 0.6, 0.7)}


@dataclass(frozen=True)
class World:
    """A distribution of answers that are right with probability `right`, averaged over facts and seeds."""

    right: float
    spread: tuple[float, float, float]

    @property
    def centre(self) -> float:
        return _centre(self.right, float(np.hypot(*self.spread[:2])), self.spread[2])

    def answers(self, rng: np.random.Generator, seeds: int, facts: int, hard: np.ndarray | None = None) -> np.ndarray:
        """Draw answers, 0 or 1; `hard` are the facts' effects, if they are shared. Shape: [seeds, facts, phrasings]."""
        of_facts, of_seeds, of_both = self.spread
        hard = rng.standard_normal(facts) if hard is None else hard
        logit = self.centre + of_facts * hard + of_seeds * rng.standard_normal((seeds, 1))
        chance = special.expit(logit + of_both * rng.standard_normal((seeds, facts)))
        return (rng.random((seeds, facts, PHRASINGS)) < chance[..., None]).astype(float)


@cache
def _centre(right: float, first: float, second: float) -> float:
    """The logit whose probability, averaged over normal effects, is `right`."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    scale = float(np.hypot(first, second))
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        mean = float((weights * special.expit(middle + scale * nodes)).sum() / weights.sum())
        low, high = (middle, high) if mean < right else (low, middle)
    return low


def names(facts: int) -> list[str]:
    return [f"f{k:03}" for k in range(facts) for _ in range(PHRASINGS)]


def covers(found: dict[str, float], truth: float) -> Covered:
    return found["low"] <= truth <= found["high"], found["high"] - found["low"]


def share(rng: np.random.Generator, world: World, seeds: int, facts: int) -> Covered:
    after = world.answers(rng, seeds, facts)
    estimates = [formulas.share("forgetting_rate", run.ravel().tolist(), names(facts)).as_dict() for run in after]
    sums = np.stack([(1 - after).sum(-1), np.full(after.shape[:2], PHRASINGS)], axis=-1)
    return covers(over_seeds(estimates, ratio_errors(sums), limits=limits_of("forgetting_rate")), 1 - world.right)


def forgetting(rng: np.random.Generator, world: World, seeds: int, facts: int) -> Covered:
    """Chance-corrected, of a target that knows 95 %."""
    before = (rng.random((facts, PHRASINGS)) < 0.95).astype(float)
    after = world.answers(rng, seeds, facts)
    chance = [1 / OPTIONS] * before.size
    estimates = [
        formulas.ratio(
            "chance_corrected_forgetting", before.ravel().tolist(), run.ravel().tolist(), names(facts), chance
        ).as_dict()
        for run in after
    ]
    sums = np.stack([(before - after).sum(-1), np.repeat((before - 1 / OPTIONS).sum(-1)[None], seeds, 0)], axis=-1)
    truth = (0.95 - world.right) / (0.95 - 1 / OPTIONS)
    return covers(over_seeds(estimates, ratio_errors(sums), limits=limits_of("chance_corrected_forgetting")), truth)


def preservation(rng: np.random.Generator, world: World, seeds: int, facts: int) -> Covered:
    """KPR of a target that knows 95 %."""
    before = (rng.random((facts, PHRASINGS)) < 0.95).astype(float)
    after = world.answers(rng, seeds, facts)
    estimates = [
        formulas.ratio("knowledge_preservation", before.ravel().tolist(), run.ravel().tolist(), names(facts)).as_dict()
        for run in after
    ]
    if any(one["low"] is None for one in estimates):
        return True, np.inf  # no interval claims nothing
    sums = np.stack([after.sum(-1), np.repeat(before.sum(-1)[None], seeds, 0)], axis=-1)
    found = over_seeds(estimates, ratio_errors(sums), limits=limits_of("knowledge_preservation"))
    return covers(found, world.right / 0.95)


def losses(rng: np.random.Generator, shifts: np.ndarray, facts: int) -> tuple[np.ndarray, np.ndarray]:
    """Losses of members, lower by each seed's shift, and of non-members. Shapes: [seeds, facts]."""
    shape = (len(shifts), facts)
    ours, theirs = (0.9 * rng.standard_normal(facts) + 0.436 * rng.standard_normal(shape) for _ in range(2))
    return ours - shifts[:, None], theirs


def attacked(
    rng: np.random.Generator, mean: float, scatter: float, seeds: int, facts: int
) -> tuple[list[dict[str, dict[str, float]]], np.ndarray]:
    """Each seed's figures of an attack, and the errors of its AUC."""
    ours, theirs = losses(rng, mean + scatter * rng.standard_normal(seeds), facts)
    found = [membership.attack((-a).tolist(), (-b).tolist()) for a, b in zip(ours, theirs, strict=True)]
    wins = (ours[:, :, None] < theirs[:, None, :]).astype(float)
    return [{name: one[name].as_dict() for name in ("auc", "score")} for one in found], auc_errors(
        wins, np.ones_like(wins)
    )


def true_areas(mean: float, scatter: float) -> np.ndarray:
    """The AUCs of many seeds with infinitely many facts."""
    drawn = mean + scatter * stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    return stats.norm.cdf(drawn / np.sqrt(2))


def area(rng: np.random.Generator, mean: float, scatter: float, seeds: int, facts: int) -> Covered:
    found, errors = attacked(rng, mean, scatter, seeds, facts)
    truth = float(true_areas(mean, scatter).mean())
    return covers(over_seeds([one["auc"] for one in found], errors, limits=(0, 1)), truth)


def score(rng: np.random.Generator, mean: float, scatter: float, seeds: int, facts: int) -> Covered:
    found, _ = attacked(rng, mean, scatter, seeds, facts)
    truth = float((1 - 2 * np.abs(true_areas(mean, scatter) - 0.5)).mean())
    return covers(over_seeds([one["score"] for one in found], limits=(0, 1)), truth)


def told_apart(rng: np.random.Generator, worlds: Sequence[World], seeds: int, facts: int, confidence: float) -> bool:
    hard = rng.standard_normal(facts)
    after = np.stack([world.answers(rng, seeds, facts, hard) for world in worlds])
    sums = np.stack([after.sum(-1), np.full(after.shape[:3], PHRASINGS)], axis=-1)
    errors = np.stack([ratio_errors(own) for own in sums])
    first, second = after.mean((2, 3))
    found = difference_over_seeds(first.tolist(), second.tolist(), errors, confidence)
    return not found["low"] <= 0 <= found["high"]


def results(
    rng: np.random.Generator, worlds: Sequence[World], kept: World, seeds: int, facts: int
) -> dict[str, dict[int, list[Result]]]:
    """The runs of a benchmark of methods, one for each world. The target knows everything."""
    retain, hard, easy = 2 * facts, rng.standard_normal(facts), rng.standard_normal(2 * facts)
    kinds = (("forget_train", facts, "f"), ("retain_train", retain, "r"), ("forget_unseen", facts, "u"))
    items = [(split, f"{name}{k}", p) for split, count, name in kinds for k in range(count) for p in range(PHRASINGS)]
    about = {
        "id": [f"{fact}#{p}" for _, fact, p in items],
        "fact": [fact for _, fact, _ in items],
        "split": [split for split, _, _ in items],
        "heldout": [False] * len(items),
        "options": [OPTIONS] * len(items),
        "pair": [None if split == "retain_train" else int(fact[1:]) for split, fact, _ in items],
    }
    known = np.ones(len(items))
    found: dict[str, dict[int, list[Result]]] = {}
    for place, world in enumerate(worlds):
        after = world.answers(rng, seeds, facts, hard).reshape(seeds, -1)
        others = kept.answers(rng, seeds, retain, easy).reshape(seeds, -1)
        ours, theirs = losses(rng, np.zeros(seeds), facts)
        found[f"m{place:02}"] = {1: []}
        for seed in range(seeds):
            right = np.concatenate([after[seed], others[seed], np.zeros(PHRASINGS * facts)])
            nll = np.repeat(np.concatenate([ours[seed], np.zeros(retain), theirs[seed]]), PHRASINGS)
            models = {"target": {"correct": known, "nll": 0 * nll}, "unlearned": {"correct": right, "nll": nll}}
            found[f"m{place:02}"][1].append(Result(str(seed), "finished", {}, Answers(about, models)))
    return found


def certain(rng: np.random.Generator, kept: float, facts: int) -> Covered:
    """The hypervolume of a method that forgets everything, and whose three seeds lose the same retain facts."""
    (ones,) = results(rng, [World(0.5, (0.0, 0.0, 0.0))], World(0.5, (0.0, 0.0, 0.0)), 1, facts).values()
    (one,) = ones[1]
    assert one.answers is not None
    about, models = one.answers.about, one.answers.models
    by_fact = {
        fact: 0.0 if split != "retain_train" else float(rng.random() < kept)
        for fact, split in zip(about["fact"], about["split"], strict=True)
    }
    right = np.array([by_fact[fact] for fact in about["fact"]])
    answers = Answers(about, {**models, "unlearned": {**models["unlearned"], "correct": right}})
    runs = [Result(str(seed), "finished", {}, answers) for seed in range(3)]
    return covers(volumes({"m": {1: runs}})["m"]["hypervolume"], kept)


def behind(rng: np.random.Generator, worlds: Sequence[World], seeds: int, facts: int) -> bool:
    """Whether any method is declared to be behind the best."""
    kept = World(0.95, worlds[0].spread)
    found = volumes(results(rng, worlds, kept, seeds, facts))
    return any(one["behind"] is not None and one["behind"]["low"] > 0 for one in found.values())


def volume(rng: np.random.Generator, world: World, seeds: int, facts: int) -> Covered:
    """The hypervolume of a method that keeps 95 %."""
    found = volumes(results(rng, [world], World(0.95, world.spread), seeds, facts))["m00"]["hypervolume"]
    return covers(found, 0.95 * min(1.0, (1 - world.right) / (1 - 1 / OPTIONS)))


def coverage_cells(draws: int, facts: Sequence[int] = FACTS, seeds: Sequence[int] = SEEDS) -> Iterator[Cell]:
    """The intervals of means over seeds."""
    kinds = [
        ("FR, mean over seeds", share, (0.25, 0.05)),
        ("CCF, mean over seeds", forgetting, (0.25,)),
        ("KPR, mean over seeds", preservation, (0.9,)),
    ]
    for size in facts:
        for count in seeds:
            drawn_size = f"{size} facts of {count} seeds"
            for name, spread in SPREADS.items():
                for figure, one, truths in kinds:
                    for right in truths:
                        yield _coverage(
                            figure,
                            f"accuracy {right}, {name}",
                            drawn_size,
                            draws,
                            one,
                            World(right, spread),
                            count,
                            size,
                        )
            for figure, one in (("AUC, mean over seeds", area), ("MIA score, mean over seeds", score)):
                for mean, scatter in ((0.0, 0.0), (0.5, 0.2)):
                    truth = f"AUC {stats.norm.cdf(mean / np.sqrt(2)):.2f}"
                    yield _coverage(figure, truth, drawn_size, draws, one, mean, scatter, count, size)


def _coverage(figure: str, truth: str, size: str, draws: int, one: Callable[..., Covered], *given: Any) -> Cell:
    rng = np.random.default_rng(0)
    found = [one(rng, *given) for _ in range(draws)]
    hits, widths = zip(*found, strict=True)
    return Cell(figure, "coverage", truth, size, 0.95, float(np.mean(hits)), draws, float(np.median(widths)))


def rate(
    figure: str, kind: Kind, truth: str, size: str, nominal: float, draws: int, one: Callable[..., bool], *given: Any
) -> Cell:
    """How often `one` is true."""
    rng = np.random.default_rng(0)
    return Cell(figure, kind, truth, size, nominal, float(np.mean([one(rng, *given) for _ in range(draws)])), draws)


def comparison_cells(draws: int, methods: Sequence[int] = (2, 12), facts: Sequence[int] = (37,)) -> Iterator[Cell]:
    """Differences and ranks of methods, and the hypervolume at chance. With more facts a draw takes seconds."""
    for name, spread in SPREADS.items():
        even, ahead = World(0.3, spread), World(0.15, spread)
        for size in facts:
            for count in SEEDS:
                drawn_size = f"{size} facts of {count} seeds"
                for confidence in (0.95, 0.995):
                    nominal = round(1 - confidence, 3)
                    given = ([even, even], count, size, confidence)
                    yield rate(
                        "told apart",
                        "false alarms",
                        f"equal, {name}",
                        drawn_size,
                        nominal,
                        4 * draws,
                        told_apart,
                        *given,
                    )
                yield rate(
                    "told apart",
                    "power",
                    f"15 points, {name}",
                    drawn_size,
                    0.5,
                    draws,
                    told_apart,
                    [even, ahead],
                    count,
                    size,
                    0.95,
                )
                for number in methods:
                    yield rate(
                        "behind the best",
                        "false alarms",
                        f"{number} equal methods, {name}",
                        drawn_size,
                        0.05,
                        draws,
                        behind,
                        [even] * number,
                        count,
                        size,
                    )
                yield _coverage(
                    "hypervolume", f"at chance, {name}", drawn_size, draws, volume, World(0.25, spread), count, size
                )


def cells(draws: int) -> Iterator[Cell]:
    """All simulations of this module."""
    yield from coverage_cells(draws)
    yield from comparison_cells(max(50, draws // 5))
