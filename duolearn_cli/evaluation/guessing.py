"""What answers without knowledge score: the commonest answer, the options alone, the place, and gold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from duolearn_cli.data.items import Item
from duolearn_cli.data.order import sample
from duolearn_cli.evaluation.metrics import knowledge, options_only
from duolearn_cli.evaluation.metrics.closed_forms import CONFIDENCE
from duolearn_cli.evaluation.metrics.intervals import FEW_FACTS, proportion
from duolearn_cli.evaluation.scoring import Answer
from duolearn_cli.evaluation.summary import SIDES, Answers

Items = Mapping[str, Sequence[Item]]
# How many characters of an answer a warning shows.
SHOWN = 60
# Items that the classifier of options learns from and answers: what more would add is less than the interval.
MOST_ITEMS = 4000
# Facts that one classifier answers err together, which an interval over facts does not see: one end at 95 % gave
# 4.5 to 6 % of false alarms instead of 2.5, in the simulation of docs/intervals.md.
CROSS_VALIDATED = 0.99
# From this share of forget items on, a wrong option that is a right answer of what is kept makes a cut.
MUCH_CUT = 0.25


@dataclass(frozen=True, slots=True)
class Floor:
    """What forgetting is measured from.

    Attributes:
        source: ``options``, 1 / number of options, or ``gold``, the answers of the model that never learned the items.
        rate: its mean over forget items.
        cut: the share of forget items with a wrong option that is the right answer of an item that is kept.
        of_item: by item id, where the source is gold.
    """

    source: str
    rate: float
    cut: float
    of_item: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        return {"source": self.source, "rate": self.rate, "cut": self.cut}


def floor(models: Mapping[str, Answers], items: Items) -> Floor:
    """1 / number of options, or gold's answers where there is a gold and chance is not that.

    It is not where gold's accuracy on forget items differs from it beyond its interval, nor where the target cuts
    through a table: who knows the rest of it can rule options out, or takes to the strings that it learned.
    """
    rows = _forget(next(iter(models.values())))
    chance, share = fmean(row.chance for row in rows) if rows else 0.0, cut(items)
    never = _forget(models["gold"]) if "gold" in models else []
    own = proportion([row.correct for row in never], [row.fact for row in never])
    if own.low is None or own.high is None or len({row.fact for row in never}) < FEW_FACTS:
        return Floor("options", chance, share, {})
    if share > MUCH_CUT or not own.low <= chance <= own.high:
        return Floor("gold", own.value, share, {row.id: row.correct for row in never})
    return Floor("options", chance, share, {})


def cut(items: Items) -> float:
    """The share of forget items one of whose wrong options is the right answer of an item that is kept."""
    kept = {_folded(item.answer_text) for split in SIDES["retain"] for item in items.get(split, ())}
    asked = [item for split in SIDES["forget"] for item in items.get(split, ())]
    shared = [any(_folded(text) in kept for text in item.options if text != item.answer_text) for item in asked]
    return fmean(shared) if shared else 0.0


def majority(items: Items) -> dict[str, dict[str, Any]]:
    """By side the answer, told by its text or by its place, that is right most often, and how often (an estimate).

    `items` are those that are scored, by split. ``above_chance``: it is right more often than by chance, beyond doubt.
    """
    found: dict[str, dict[str, Any]] = {}
    for side, splits in SIDES.items():
        own = [item for split in splits for item in items.get(split, ())]
        if own:
            facts, chance = [item.fact_id for item in own], sum(1 / len(item.options) for item in own) / len(own)
            texts = [f'"{item.answer_text.strip().casefold()[:SHOWN]}"' for item in own]
            places = [f"option {item.answer + 1}" for item in own]
            both = [knowledge.commonest(answers, facts, chance) for answers in (texts, places)]
            answer, share, above = max(both, key=lambda one: one[1].value)
            found[side] = {**share.as_dict(), "answer": answer, "above_chance": above}
    return found


def by_options(items: Items) -> dict[str, dict[str, Any]]:
    """By side what a classifier that never sees the question answers right, with ``above_chance`` as in `majority`.

    It learns from all trained facts of both sides, `MOST_ITEMS` of them at most; each fact is answered by one that did
    not learn from it.
    """
    every = {item.id: item for splits in SIDES.values() for split in splits for item in items.get(split, ())}
    chosen = sample(tuple(every.values()), MOST_ITEMS, 0)
    facts = [item.fact_id for item in chosen]
    hits = options_only.hits([item.options for item in chosen], [item.answer for item in chosen], facts)
    hit = {item.id: float(one) for item, one in zip(chosen, hits, strict=True)}
    found: dict[str, dict[str, Any]] = {}
    for side, splits in SIDES.items():
        own = [item for split in splits for item in items.get(split, ()) if item.id in hit]
        if own:
            found[side] = _beside_chance([hit[item.id] for item in own], own, CROSS_VALIDATED)
    return found


def by_place(items: Items) -> dict[str, dict[str, Any]]:
    """By side what the places of the right options of trained askings give away of those of held-out ones.

    Where options are shuffled so that the right one never keeps its place, who remembers the trained places and nothing
    else need only choose among the others. That is what is given here, in the mean over held-out askings, zero where
    the place was a trained one: ``above_chance`` only where the places are laid out so.
    """
    found: dict[str, dict[str, Any]] = {}
    for side, (trained, heldout) in SIDES.items():
        seen: dict[str, set[int]] = defaultdict(set)
        for item in items.get(trained, ()):
            seen[item.fact_id].add(item.answer)
        own = [item for item in items.get(heldout, ()) if 0 < len(seen[item.fact_id]) < len(item.options)]
        if own:
            rates = [
                (item.answer not in seen[item.fact_id]) / (len(item.options) - len(seen[item.fact_id])) for item in own
            ]
            found[side] = _beside_chance(rates, own, CONFIDENCE)
    return found


def above_majority(models: Mapping[str, Answers], rate: float) -> dict[str, dict[str, Any]]:
    """Chance-corrected forgetting of gold and unlearned, measured from the commonest answer's `rate` instead of chance.

    Of items with so few options that chance is above `rate`, chance counts.
    """
    before = _forget(models["target"]) if "target" in models else []
    found = {}
    for name in ("gold", "unlearned"):
        if before and name in models:
            one = knowledge.chance_corrected_forgetting(
                [row.correct for row in before],
                [row.correct for row in _forget(models[name])],
                [max(row.chance, rate) for row in before],
                [row.fact for row in before],
            )
            found[name] = one.as_dict()
    return found


def _beside_chance(hits: Sequence[float], own: Sequence[Item], confidence: float) -> dict[str, Any]:
    """The share of hits, and whether the lower end of its interval of that confidence is above chance."""
    facts, chance = [item.fact_id for item in own], fmean(1 / len(item.options) for item in own)
    low = proportion(hits, facts, confidence=confidence).low
    return {**proportion(hits, facts).as_dict(), "above_chance": low is not None and low > chance}


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def _forget(answers: Answers) -> list[Answer]:
    return [row for split in SIDES["forget"] for row in answers.get(split, ())]
