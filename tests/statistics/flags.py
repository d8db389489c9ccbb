"""How often flags are raised that should not be, and that should, on estimates of drawn answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np

from duolearn_cli.data.items import Item
from duolearn_cli.evaluation.guessing import MUCH_CUT, by_options, floor
from duolearn_cli.evaluation.metrics import calibration, knowledge
from duolearn_cli.evaluation.metrics.intervals import proportion
from duolearn_cli.evaluation.warning_text import Asked
from duolearn_cli.evaluation.warnings import flags
from tests.statistics.cells import Cell
from tests.statistics.drawing import after, alarms, answers, generator, names, size

SIZES = (30, 100, 450)
CHANCE, QUESTIONS, TOGETHER = 0.25, 2, 0.3
# One end of a 95 % interval.
ONE_SIDED = 0.025
# Draws at most of what fits a classifier for each.
CLASSIFIED = 200
Draw = Callable[[np.random.Generator, int], bool]


def cells(draws: int) -> Iterator[Cell]:
    """Each rule at the edge of what it allows, and where it should speak."""
    for flag, kind, truth, nominal, raised in RULES:
        for facts in SIZES:
            rng = generator(flag, truth, facts)
            count = min(draws, CLASSIFIED) if flag == "options give away" else draws
            found = (raised(rng, facts) for _ in range(count))
            yield alarms(flag, kind, truth, size(facts, QUESTIONS), nominal, found)


def _right(rng: np.random.Generator, share: float, facts: int) -> np.ndarray:
    return answers(rng, share, TOGETHER, facts, QUESTIONS)


def _said(words: str, scores: dict[str, dict], asked: Asked | None = None, target: dict | None = None) -> bool:
    models = {"unlearned": {"scores": scores}} if target is None else {"target": {"scores": target}}
    return any(words in flag.sentence for flag in flags(models, CHANCE, None, asked))


def avoided(share: float) -> Draw:
    """Forget accuracy of that truth after unlearning."""

    def raised(rng: np.random.Generator, facts: int) -> bool:
        found = proportion(_right(rng, share, facts).tolist(), names(facts, QUESTIONS))
        return _said("avoided", {"forget_accuracy": found.as_dict()})

    return raised


def avoided_by_gold(share: float) -> Draw:
    """The same where gold answers 15 %, each model by itself."""

    def raised(rng: np.random.Generator, facts: int) -> bool:
        before, never, now = (_right(rng, one, facts).tolist() for one in (0.97, 0.15, share))
        owners = names(facts, QUESTIONS)
        found = knowledge.chance_corrected_forgetting(before, now, never, owners)
        scores = {
            "forget_accuracy": proportion(now, owners).as_dict(),
            "chance_corrected_forgetting": found.as_dict(),
        }
        floor = {"source": "gold", "rate": float(np.mean(never)), "cut": MUCH_CUT}
        return _said("avoided, which", scores, Asked(floor=floor))

    return raised


def too_little(forgotten: float) -> Draw:
    """Chance-corrected forgetting of that truth, of a target at .95."""

    def raised(rng: np.random.Generator, facts: int) -> bool:
        before = _right(rng, 0.95, facts)
        keep = (0.95 - forgotten * (0.95 - CHANCE) - 0.05 * CHANCE) / 0.95
        now = after(rng, before, keep, CHANCE, TOGETHER, facts)
        chance = [CHANCE] * len(before)
        found = knowledge.chance_corrected_forgetting(before.tolist(), now.tolist(), chance, names(facts, QUESTIONS))
        return _said("Too little is forgotten", {"chance_corrected_forgetting": found.as_dict()})

    return raised


def too_much_lost(kept: float) -> Draw:
    """KPR of that truth, of a target at .95."""

    def raised(rng: np.random.Generator, facts: int) -> bool:
        before = _right(rng, 0.95, facts)
        now = after(rng, before, (kept * 0.95 - 0.05 * 0.3) / 0.95, 0.3, TOGETHER, facts)
        found = knowledge.knowledge_preservation(before.tolist(), now.tolist(), names(facts, QUESTIONS))
        return _said("Too much is lost", {"knowledge_preservation": found.as_dict()})

    return raised


def hardly_known(share: float) -> Draw:
    """A target that answers that share of the forget items."""

    def raised(rng: np.random.Generator, facts: int) -> bool:
        found = proportion(_right(rng, share, facts).tolist(), names(facts, QUESTIONS))
        return _said("hardly knows", {}, target={"forget_accuracy": found.as_dict()})

    return raised


def one_place(share: float) -> Draw:
    """Option 2 is answered in that share of the items, the others equally often; each is right in a quarter."""

    def raised(rng: np.random.Generator, facts: int) -> bool:
        count = facts * QUESTIONS
        said = np.where(rng.random(count) < share, 1, rng.choice([0, 2, 3], count))
        right = rng.integers(0, 4, count)
        chosen = calibration.as_shares(said)
        own = {
            "favourite_place": calibration.favourite_place(chosen, right, names(facts, QUESTIONS)).as_dict(),
            "positions": calibration.position_shares(chosen),
            "right_positions": calibration.position_shares(calibration.as_shares(right)),
            "entropy": {"value": 0.3},
        }
        known = {"value": 1.0, "low": 0.9, "high": 1.0, "n": count, "facts": facts}
        models = {"target": {"scores": {"forget_accuracy": known}}}
        models["unlearned"] = {"scores": {}, "calibration": {"forget": own}}
        return any("answers a place" in flag.sentence for flag in flags(models, CHANCE))

    return raised


def commonest(share: float) -> Draw:
    """One of four answers is right in that share of the items, the others equally often."""

    def raised(rng: np.random.Generator, facts: int) -> bool:
        rest = (1 - share) / 3
        said = rng.choice(4, facts, p=[share, rest, rest, rest])
        return knowledge.commonest([str(k) for k in said], names(facts, 1), CHANCE)[2]

    return raised


def given_away(share: float) -> Draw:
    """The right option is the longest in that share of the items beyond its quarter; words say nothing."""

    def raised(rng: np.random.Generator, facts: int) -> bool:
        items = []
        for k in range(facts):
            lengths, place = rng.permutation([4, 6, 8, 10]), int(rng.integers(4))
            if rng.random() < share:
                place = int(lengths.argmax())
            options = tuple("".join(rng.choice(list("abcdefgh"), n)) for n in lengths)
            items.append(Item(f"i{k}", "?", options, place))
        return by_options({"forget_train": items})["forget"]["above_chance"]

    return raised


def by_gold(share: float) -> Draw:
    """Gold answers that share of the forget items, where chance is a quarter."""

    def raised(rng: np.random.Generator, facts: int) -> bool:
        hits, owners = _right(rng, share, facts), names(facts, QUESTIONS)
        rows = [
            SimpleNamespace(id=k, fact=fact, correct=hit, chance=CHANCE)
            for k, (fact, hit) in enumerate(zip(owners, hits, strict=True))
        ]
        return floor({"gold": {"forget_train": rows}}, {}).source == "gold"  # type: ignore[dict-item]

    return raised


# Name, kind, truth, nominal rate (of power: what docs/intervals.md promises with 100 facts), rule.
RULES: tuple[tuple[str, str, str, float, Draw], ...] = (
    ("answers avoided", "false alarms", "forget accuracy at chance, .25", ONE_SIDED, avoided(0.25)),
    ("answers avoided", "power", "forget accuracy .1", 0.8, avoided(0.1)),
    ("answers avoided, by gold", "false alarms", "both at .15", ONE_SIDED, avoided_by_gold(0.15)),
    ("answers avoided, by gold", "power", "gold .15, unlearned .02", 0.8, avoided_by_gold(0.02)),
    ("too little forgotten", "false alarms", "CCF .9", ONE_SIDED, too_little(0.9)),
    ("too little forgotten", "power", "CCF .6", 0.8, too_little(0.6)),
    ("too much lost", "false alarms", "KPR .9", ONE_SIDED, too_much_lost(0.9)),
    ("too much lost", "power", "KPR .75", 0.8, too_much_lost(0.75)),
    ("target hardly knows", "false alarms", "half of the way, .625", ONE_SIDED, hardly_known(0.625)),
    ("target hardly knows", "power", ".45 of the items", 0.8, hardly_known(0.45)),
    ("one place", "false alarms", "answered .1 oftener than right", ONE_SIDED, one_place(0.35)),
    ("one place", "power", "79 % answered, 25 % right", 0.8, one_place(0.79)),
    ("chance by gold", "false alarms", "gold at chance, .25", 2 * ONE_SIDED, by_gold(0.25)),
    ("chance by gold", "power", "gold at .12", 0.8, by_gold(0.12)),
    ("commonest answer", "false alarms", "each in a quarter", ONE_SIDED, commonest(0.25)),
    ("commonest answer", "power", "one in .45", 0.8, commonest(0.45)),
    ("options give away", "false alarms", "the longest in a quarter", ONE_SIDED, given_away(0.0)),
    ("options give away", "power", "the longest in .55", 0.8, given_away(0.4)),
)
