"""Keeping to the facts that the given target knows (``learn.known``): nobody can forget what nobody knew."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from duolearn_cli.data.items import Item
from duolearn_cli.data.splits import Splits
from duolearn_cli.errors import DataError
from duolearn_cli.evaluation.known_facts import known_facts
from duolearn_cli.evaluation.scoring import Answer
from duolearn_cli.pipeline.answers import as_key, score_items
from duolearn_cli.pipeline.loaded_model import LoadedModel
from duolearn_cli.pipeline.study import Study

# It asks for nothing, so that the options alone decide.
NO_QUESTION = "Which one?"


def with_known_facts(target: LoadedModel) -> Study:
    """Return the study with the facts that the target knows; unknown forget facts are scored, but not unlearned.

    Raises:
        DataError: the target knows no fact of one of the sides.
    """
    study, margin = target.study, target.study.config.learn.known_margin
    items = _asked(study)
    rows, alone = _scores(target, items)
    known = known_facts(rows, {row.id: row.scores for row in alone}, margin)
    kept = restricted(study, known)
    counts = ", ".join(f"{one['known']} of {one['facts']} facts to {side}" for side, one in kept.known.items())
    target.display.note(f"the target knows {counts}: the others are neither forgotten nor kept")
    return kept


def restricted(study: Study, known: frozenset[str]) -> Study:
    """Return the study with the facts `known` alone; the others' held-out phrasings, on the forget side, as unknown."""

    def keep(items: tuple[Item, ...]) -> tuple[Item, ...]:
        return tuple(item for item in items if item.fact_id in known)

    splits = Splits(**{name: keep(items) for name, items in study.splits.by_name().items()})
    for side in ("forget", "retain"):
        if not getattr(splits, f"{side}_train"):
            raise DataError(
                f"learn.known=true: the model knows none of the facts to {side}; choose another target or model, or a "
                "smaller learn.known_margin."
            )
    request = replace(study.request, forget=keep(study.request.forget), retain=keep(study.request.retain))
    unknown = tuple(item for item in study.splits.forget_heldout if item.fact_id not in known)
    counts = {side: _counts(study.splits.by_name()[f"{side}_train"], known) for side in ("forget", "retain")}
    return replace(study, splits=splits, request=request, unknown=unknown, known=counts)


def _counts(items: tuple[Item, ...], known: frozenset[str]) -> dict[str, int]:
    facts = {item.fact_id for item in items}
    return {"facts": len(facts), "known": len(facts & known)}


def _asked(study: Study) -> list[Item]:
    splits = study.splits.by_name()
    names = ("forget_train", "forget_unseen", "retain_train", "retain_unseen")
    return [item for name in names for item in splits[name] if not item.heldout]


def _scores(target: LoadedModel, items: list[Item]) -> tuple[list[Answer], list[Answer]]:
    """Score `items` as they are, and with a question that asks for nothing. Both come from the cache if it has them."""
    plain = [replace(item, question=NO_QUESTION) for item in items]

    def make() -> list[list[dict[str, Any]]]:
        target.display.stage(f"Find the facts that the target knows, from {len(items)} items with and without question")
        return [
            [answer.as_dict() for answer in score_items(target.model, target.encoder, target.study, own)]
            for own in (items, plain)
        ]

    # The key leaves the margin out: no score depends on it, so another margin needs no new scores.
    key = [NO_QUESTION, [as_key(item) for item in items]]
    asked, alone = ([Answer.of(row) for row in rows] for rows in target.keep("known", key, make))
    return asked, alone
