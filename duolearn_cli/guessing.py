"""What answers without knowledge would score: by always giving the answer that is right most often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from duolearn_cli.data.items import Item
from duolearn_cli.evaluation import Answer
from duolearn_cli.metrics import knowledge
from duolearn_cli.summary import SIDES, Answers

# How many characters of an answer a warning shows.
SHOWN = 60


def majority(items: Mapping[str, Sequence[Item]]) -> dict[str, dict[str, Any]]:
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


def _forget(answers: Answers) -> list[Answer]:
    return [row for split in SIDES["forget"] for row in answers.get(split, ())]
