"""Coverage of ratios of answers before and after: KPR, recall share, chance-corrected forgetting, HMTA."""

from __future__ import annotations

from collections.abc import Iterator

from duolearn_cli.evaluation.metrics import hmta
from duolearn_cli.evaluation.metrics.intervals import Estimate
from tests import formulas
from tests.statistics.cells import Cell
from tests.statistics.drawing import SIZES, after, answers, coverage, generator, names, size

# Accuracy before, then the probabilities that right answers stay and that wrong ones become right.
KEPT = (
    (1.0, 0.05, 0.0),
    (0.95, 0.25, 0.0),
    (0.95, 0.47, 0.5),
    (1.0, 0.95, 0.0),
    (1.0, 0.98, 0.0),
    (0.95, 0.98, 0.38),
    (0.5, 0.5, 0.2),
    (0.05, 0.5, 0.025),
)
FORGOTTEN = (
    (0.95, 1.0, 0.0),
    (0.95, 0.95, 0.5),
    (0.95, 0.58, 0.25),
    (0.95, 0.25, 0.25),
    (1.0, 0.25, 0.0),
    (0.95, 0.05, 0.05),
    (0.62, 0.3, 0.2),
    (0.4, 0.3, 0.25),
)
CHANCE = 0.25
DESIGNS = ((1, 0.0), (2, 0.3))


def cells(draws: int) -> Iterator[Cell]:
    """KPR and CCF in each design; forgetting against gold and HMTA with facts of two questions."""
    for questions, together in DESIGNS:
        for facts in SIZES:
            yield from (preservation(facts, questions, together, truth, draws) for truth in KEPT)
            yield from (forgetting(facts, questions, together, truth, draws) for truth in FORGOTTEN)
    for facts in SIZES:
        yield from (beside_gold(facts, truth, draws) for truth in FORGOTTEN)
        yield from (score(facts, forgot, kept, draws) for forgot in FORGOTTEN[:7] for kept in (KEPT[5], KEPT[2]))


def _named(before: float, value: float) -> str:
    return f"{value:.3g}, {before:g} before"


def _later(before: float, keep: float, gain: float) -> float:
    return before * keep + (1 - before) * gain


def preservation(facts: int, questions: int, together: float, truth: tuple[float, float, float], draws: int) -> Cell:
    rng, owners = generator("kpr", facts, questions, together, truth), names(facts, questions)
    share, keep, gain = truth
    value = _later(*truth) / share

    def estimate() -> Estimate:
        old = answers(rng, share, together, facts, questions)
        new = after(rng, old, keep, gain, together, facts)
        return formulas.ratio("knowledge_preservation", old.tolist(), new.tolist(), owners)

    return coverage("KPR, recall share", (value, _named(share, value)), size(facts, questions), draws, estimate)


def forgetting(facts: int, questions: int, together: float, truth: tuple[float, float, float], draws: int) -> Cell:
    rng, owners = generator("ccf", facts, questions, together, truth), names(facts, questions)
    share, keep, gain = truth
    value = (share - _later(*truth)) / (share - CHANCE)

    def estimate() -> Estimate:
        old = answers(rng, share, together, facts, questions)
        new = after(rng, old, keep, gain, together, facts)
        chance = [CHANCE] * len(owners)
        return formulas.ratio("chance_corrected_forgetting", old.tolist(), new.tolist(), owners, chance)

    return coverage("CCF", (value, _named(share, value)), size(facts, questions), draws, estimate)


def beside_gold(facts: int, truth: tuple[float, float, float], draws: int) -> Cell:
    rng, owners = generator("gold", facts, truth), names(facts, 2)
    share, keep, gain = truth
    value = (share - _later(*truth)) / (share - CHANCE)

    def estimate() -> Estimate:
        old, gold = answers(rng, share, 0.3, facts, 2), answers(rng, CHANCE, 0.3, facts, 2)
        new = after(rng, old, keep, gain, 0.3, facts)
        return formulas.ratio("forgetting_against_gold", old.tolist(), new.tolist(), owners, gold.tolist())

    return coverage("forgetting against gold", (value, _named(share, value)), size(facts, 2), draws, estimate)


def score(facts: int, forgot: tuple[float, float, float], kept: tuple[float, float, float], draws: int) -> Cell:
    """HMTA of target facts at level 4 and three times as many other facts at level 1."""
    rng = generator("hmta", facts, forgot, kept)
    ratio = (forgot[0] - _later(*forgot)) / (forgot[0] - CHANCE)
    forgotten, preserved = max(0.0, min(ratio, 2 - ratio)), min(1.0, _later(*kept) / kept[0])
    value = 2 * forgotten * preserved / (forgotten + preserved)

    def items(is_target: bool, truth: tuple[float, float, float], count: int) -> list[hmta.Scored]:
        old = answers(rng, truth[0], 0.3, count, 2)
        new = after(rng, old, truth[1], truth[2], 0.3, count)
        return [
            hmta.Scored(f"{is_target}{owner}", 1 + 3 * is_target, is_target, float(b), float(a), CHANCE)
            for owner, b, a in zip(names(count, 2), old, new, strict=True)
        ]

    def estimate() -> Estimate:
        estimate_of_hmta = hmta.hmta([*items(True, forgot, facts), *items(False, kept, 3 * facts)], {1: 1.0, 4: 1.0})
        return estimate_of_hmta or Estimate(float("nan"), None, None, 0, unbounded=True)

    truth = f"{value:.3g}: F {forgotten:.3g}, P {preserved:.3g}"
    return coverage("HMTA", (value, truth), size(facts, 2) + " and 3 times as many", draws, estimate)
