"""How often warnings are raised that should not be, and that should be, for estimates from drawn answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np

from duolearn_cli.data.items import Item
from duolearn_cli.evaluation.guessing import MUCH_CUT, by_options, floor
from duolearn_cli.evaluation.metrics import calibration, knowledge
from duolearn_cli.evaluation.metrics.intervals import proportion
from duolearn_cli.evaluation.warning_text import Context
from duolearn_cli.evaluation.warnings import flags
from tests import formulas
from tests.statistics.cells import Cell
from tests.statistics.drawing import after, alarms, answers, generator, names, size

SIZES = (30, 100, 450)
CHANCE, QUESTIONS, TOGETHER = 0.25, 2, 0.3
# Nominal rate of warnings that go by one end of a 95 % interval.
ONE_SIDED = 0.025
# The most draws of a simulation that fits a classifier for each.
CLASSIFIED = 200
Draw = Callable[[np.random.Generator, int], bool]


def cells(draws: int) -> Iterator[Cell]:
    """Each rule at the edge of what it allows (false alarms), and where it should warn (power)."""
    for flag, kind, truth, nominal, raised in RULES:
        for facts in SIZES:
            rng = generator(flag, truth, facts)
            count = min(draws, CLASSIFIED) if flag == "options give away" else draws
            yield alarms(flag, kind, truth, size(facts, QUESTIONS), nominal, (raised(rng, facts) for _ in range(count)))


def _right(rng: np.random.Generator, share: float, facts: int) -> np.ndarray:
    return answers(rng, share, TOGETHER, facts, QUESTIONS)


def _raised(words: str, scores: dict[str, dict], context: Context | None = None, target: dict | None = None) -> bool:
    """Whether a warning with these words is raised."""
    models = {"unlearned": {"scores": scores}} if target is None else {"target": {"scores": target}}
    return any(words in flag.sentence for flag in flags(models, CHANCE, None, context))


def avoided(share: float) -> Draw:
    """The true forget accuracy after unlearning is `share`."""

    def raised(rng: np.random.Generator, facts: int) -> bool:
        accuracy = proportion(_right(rng, share, facts).tolist(), names(facts, QUESTIONS))
        return _raised("avoided", {"forget_accuracy": accuracy.as_dict()})

    return raised


def avoided_by_gold(share: float) -> Draw:
    """The true forget accuracy is `share`, while gold answers 15 %; both models are drawn independently."""

    def raised(rng: np.random.Generator, facts: int) -> bool:
        before, never, now = (_right(rng, one, facts).tolist() for one in (0.97, 0.15, share))
        owners = names(facts, QUESTIONS)
        forgetting = formulas.ratio("chance_corrected_forgetting", before, now, owners, never)
        scores = {
            "forget_accuracy": proportion(now, owners).as_dict(),
            "chance_corrected_forgetting": forgetting.as_dict(),
        }
        floor = {"source": "gold", "rate": float(np.mean(never)), "cut": MUCH_CUT}
        return _raised("avoided, which", scores, Context(floor=floor))

    return raised


def too_little(forgotten: float) -> Draw:
    """The true chance-corrected forgetting is `forgotten`, for a target at 0.95."""

    def raised(rng: np.random.Generator, facts: int) -> bool:
        before = _right(rng, 0.95, facts)
        keep = (0.95 - forgotten * (0.95 - CHANCE) - 0.05 * CHANCE) / 0.95
        now = after(rng, before, keep, CHANCE, TOGETHER, facts)
        chance = [CHANCE] * len(before)
        forgetting = formulas.ratio(
            "chance_corrected_forgetting", before.tolist(), now.tolist(), names(facts, QUESTIONS), chance
        )
        return _raised("Too little is forgotten", {"chance_corrected_forgetting": forgetting.as_dict()})

    return raised


def too_much_lost(kept: float) -> Draw:
    """The true KPR is `kept`, for a target at 0.95."""

    def raised(rng: np.random.Generator, facts: int) -> bool:
        before = _right(rng, 0.95, facts)
        now = after(rng, before, (kept * 0.95 - 0.05 * 0.3) / 0.95, 0.3, TOGETHER, facts)
        kpr = formulas.ratio("knowledge_preservation", before.tolist(), now.tolist(), names(facts, QUESTIONS))
        return _raised("Too much is lost", {"knowledge_preservation": kpr.as_dict()})

    return raised


def hardly_known(share: float) -> Draw:
    """The target answers a share of the forget items."""

    def raised(rng: np.random.Generator, facts: int) -> bool:
        accuracy = proportion(_right(rng, share, facts).tolist(), names(facts, QUESTIONS))
        return _raised("hardly knows", {}, target={"forget_accuracy": accuracy.as_dict()})

    return raised


def one_place(share: float) -> Draw:
    """Option 2 is chosen for a share of the items, the others equally often. Each is right in a quarter."""

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
        return any("prefers a position" in flag.sentence for flag in flags(models, CHANCE))

    return raised


def commonest(share: float) -> Draw:
    """One of four answers is right for a share of the items, the others equally often."""

    def raised(rng: np.random.Generator, facts: int) -> bool:
        rest = (1 - share) / 3
        answer = rng.choice(4, facts, p=[share, rest, rest, rest])
        return knowledge.commonest([str(k) for k in answer], names(facts, 1), CHANCE)[2]

    return raised


def given_away(share: float) -> Draw:
    """The right option is made the longest in a share of the items; words are uninformative."""

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
    """Gold answers a share of the forget items, where chance is a quarter."""

    def raised(rng: np.random.Generator, facts: int) -> bool:
        hits, owners = _right(rng, share, facts), names(facts, QUESTIONS)
        rows = [
            SimpleNamespace(id=k, fact=fact, correct=hit, chance=CHANCE)
            for k, (fact, hit) in enumerate(zip(owners, hits, strict=True))
        ]
        return floor({"gold": {"forget_train": rows}}, 0.0).source == "gold"  # type: ignore[dict-item]

    return raised


# Name, kind, truth, nominal rate (for power: what docs/results/intervals.md claims with 100 facts), rule.
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
