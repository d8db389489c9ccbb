"""Scores without knowledge: of the most common answer, of the options alone, of their positions, and of gold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from duolearn_cli.data.items import Item
from duolearn_cli.data.order import sample
from duolearn_cli.evaluation.answer import SIDES, Answer, Answers
from duolearn_cli.evaluation.measures import MEASURES
from duolearn_cli.evaluation.measures.evidence import Evidence
from duolearn_cli.evaluation.metrics import knowledge, options_only
from duolearn_cli.evaluation.metrics.closed_forms import CONFIDENCE
from duolearn_cli.evaluation.metrics.intervals import FEW_FACTS, proportion

Items = Mapping[str, Sequence[Item]]
# Warnings show this many characters of an answer.
SHOWN = 60
# The classifier of options is trained and tested on at most this many items. More would change less than the interval's
# width.
MOST_ITEMS = 4000
# Confidence of the classifier's interval. Facts that one classifier answers err together, which an interval over facts
# does not account for: at 95 % there were 4.5 to 6 % of false alarms instead of 2.5 (docs/results/intervals.md).
CROSS_VALIDATED = 0.99
# If more than this share of forget items have a wrong option that is the right answer of a retained item, the forget
# target cuts through a table of facts, and chance is not 1 / number of options.
MUCH_CUT = 0.25


@dataclass(frozen=True, slots=True)
class Floor:
    """The accuracy without knowledge, from which forgetting is measured.

    Attributes:
        source: ``options`` for 1 / number of options, ``gold`` for the answers of gold, which never learned the items.
        rate: its mean over forget items.
        cut: the share of forget items with a wrong option that is the right answer of a retained item.
        of_item: gold's answers by item id; empty for ``options``.
    """

    source: str
    rate: float
    cut: float
    of_item: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """The `floor` section of metrics.json."""
        return {"source": self.source, "rate": self.rate, "cut": self.cut}


def floor(models: Mapping[str, Answers], share: float) -> Floor:
    """Decide what forgetting is measured from: 1 / number of options, or gold's answers if those are a better floor.

    Gold's answers are used if gold's accuracy on forget items differs from 1 / number of options beyond its interval,
    or if the forget target cuts through a table of facts (`MUCH_CUT`). In such a table, a model that knows the rest
    can rule options out, or prefers the strings that it has learned. Gold needs at least `FEW_FACTS` facts.

    Args:
        models: the answers of each model, by split.
        share: the share of the scored items that are cut: see `cut`.
    """
    rows = _forget(next(iter(models.values())))
    chance = fmean(row.chance for row in rows) if rows else 0.0
    never = _forget(models["gold"]) if "gold" in models else []
    own = proportion([row.correct for row in never], [row.fact for row in never])
    if own.low is None or own.high is None or len({row.fact for row in never}) < FEW_FACTS:
        return Floor("options", chance, share, {})
    if share > MUCH_CUT or not own.low <= chance <= own.high:
        return Floor("gold", own.value, share, {row.id: row.correct for row in never})
    return Floor("options", chance, share, {})


def cut(items: Items) -> float:
    """The share of forget items with a wrong option that is the right answer of a retained item."""
    retained = {_folded(item.answer_text) for split in SIDES["retain"] for item in items.get(split, ())}
    forget = [item for split in SIDES["forget"] for item in items.get(split, ())]
    shared = [any(_folded(text) in retained for text in item.options if text != item.answer_text) for item in forget]
    return fmean(shared) if shared else 0.0


def majority(items: Items) -> dict[str, dict[str, Any]]:
    """The `majority` section of metrics.json: by side, the answer that is right most often, and its share.

    Answers are identified by their text or by their position, whichever is more common.

    Args:
        items: the scored items, by split.

    Returns:
        By side, the share as an estimate, ``answer`` in words, and ``above_chance``: whether it is right significantly
        more often than by chance.
    """
    by_side: dict[str, dict[str, Any]] = {}
    for side, splits in SIDES.items():
        own = [item for split in splits for item in items.get(split, ())]
        if own:
            facts, chance = [item.fact_id for item in own], sum(1 / len(item.options) for item in own) / len(own)
            texts = [f'"{item.answer_text.strip().casefold()[:SHOWN]}"' for item in own]
            positions = [f"option {item.answer + 1}" for item in own]
            both = [knowledge.commonest(answers, facts, chance) for answers in (texts, positions)]
            answer, share, above = max(both, key=lambda one: one[1].value)
            by_side[side] = {**share.as_dict(), "answer": answer, "above_chance": above}
    return by_side


def by_options(items: Items) -> dict[str, dict[str, Any]]:
    """The `by_options` section of metrics.json: the accuracy of a classifier that sees the options but no question.

    It is trained and tested on the items of both sides, at most `MOST_ITEMS`, by cross-validation over facts.

    Args:
        items: the scored items, by split.

    Returns:
        By side, the accuracy as an estimate, with ``above_chance`` as in `majority`.
    """
    every = {item.id: item for splits in SIDES.values() for split in splits for item in items.get(split, ())}
    chosen = sample(tuple(every.values()), MOST_ITEMS, 0)
    facts = [item.fact_id for item in chosen]
    hits = options_only.hits([item.options for item in chosen], [item.answer for item in chosen], facts)
    hit = {item.id: float(one) for item, one in zip(chosen, hits, strict=True)}
    by_side: dict[str, dict[str, Any]] = {}
    for side, splits in SIDES.items():
        own = [item for split in splits for item in items.get(split, ()) if item.id in hit]
        if own:
            by_side[side] = _beside_chance([hit[item.id] for item in own], own, CROSS_VALIDATED)
    return by_side


def by_place(items: Items) -> dict[str, dict[str, Any]]:
    """The `by_place` section of metrics.json: what the trained positions of right options give away.

    If options are shuffled such that the right one never keeps its position, a model that remembers only the trained
    positions can exclude them. Its expected accuracy on a held-out item is 1 / number of remaining positions, or 0 if
    the right option is at a trained position after all.

    Args:
        items: the scored items, by split.

    Returns:
        By side, the mean expected accuracy as an estimate, with ``above_chance`` as in `majority`.
    """
    by_side: dict[str, dict[str, Any]] = {}
    for side, (trained, heldout) in SIDES.items():
        # The positions of each fact's right option in training.
        seen: dict[str, set[int]] = defaultdict(set)
        for item in items.get(trained, ()):
            seen[item.fact_id].add(item.answer)
        own = [item for item in items.get(heldout, ()) if 0 < len(seen[item.fact_id]) < len(item.options)]
        if own:
            rates = [
                (item.answer not in seen[item.fact_id]) / (len(item.options) - len(seen[item.fact_id])) for item in own
            ]
            by_side[side] = _beside_chance(rates, own, CONFIDENCE)
    return by_side


def above_majority(models: Mapping[str, Answers], rate: float) -> dict[str, dict[str, Any]]:
    """Chance-corrected forgetting of gold and unlearned, measured from the most common answer's share instead of
    chance.

    Args:
        models: the answers of each model, by split.
        rate: the share of the most common answer. Items with so few options that chance is above it use chance.

    Returns:
        By model, the estimate; empty without a target.
    """
    measure, by_model = MEASURES["forgetting_above_majority"], {}
    for name in models:
        one = measure.estimate(Evidence(name, models, majority=rate))
        if one is not None and one.n:
            by_model[name] = one.as_dict()
    return by_model


def _beside_chance(hits: Sequence[float], own: Sequence[Item], confidence: float) -> dict[str, Any]:
    """The share of hits as an estimate, and whether the lower end of its interval at `confidence` is above chance."""
    facts, chance = [item.fact_id for item in own], fmean(1 / len(item.options) for item in own)
    low = proportion(hits, facts, confidence=confidence).low
    return {**proportion(hits, facts).as_dict(), "above_chance": low is not None and low > chance}


def _folded(text: str) -> str:
    """The text for comparison: white space and case do not count."""
    return " ".join(text.split()).casefold()


def _forget(answers: Answers) -> list[Answer]:
    return [row for split in SIDES["forget"] for row in answers.get(split, ())]
