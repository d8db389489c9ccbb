"""What metrics.json says about a run whose target was given, not learned (``learn.skip``): see docs/own-model.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from duolearn_cli.data.earlier import UNKNOWN
from duolearn_cli.evaluation.answer import SIDES, Answer, Answers
from duolearn_cli.evaluation.known_facts import known_facts
from duolearn_cli.evaluation.measures import MEASURES
from duolearn_cli.evaluation.metrics.intervals import Estimate, proportion

REASON = "needs gold, a model that never learned the forget items, and there is none (docs/own-model.md)"


def without_gold(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's entry of metrics.json with null, and the reason, for all that needs gold."""
    missing = {"value": None, "low": None, "high": None, "n": 0, "facts": 0, "reason": REASON}
    needing = {key: missing for key, one in MEASURES.items() if "gold" in one.needs and one.path == ("scores", key)}
    return {**entry, "scores": {**entry["scores"], **needing}, "gold": {"reason": REASON}}


def summarise(models: Mapping[str, Answers], chance: float) -> dict[str, Any]:
    """Return the section `own_model` of metrics.json: what the target knew, and the base rates that need no gold.

    Args:
        models: the answers of each model, by split.
        chance: the mean of 1 / number of options over forget items.
    """
    has_gold = "gold" in models
    return {
        "gold": "given" if has_gold else None,
        "reason": None if has_gold else REASON,
        "known": {side: _known(models["target"], side) for side in SIDES},
        "base_rates": {"chance": chance, "unknown": _unknown(models), "unseen": _unseen(models)},
    }


def _known(answers: Answers, side: str) -> dict[str, Any]:
    """How many facts of a side the target answers right in every trained phrasing."""
    rows = _rows(answers, SIDES[side])
    known, facts = known_facts(rows), sorted({row.fact for row in rows})
    return {"facts": len(facts), "known": len(known), "share": _share([fact in known for fact in facts], facts)}


def _unknown(models: Mapping[str, Answers]) -> dict[str, Any]:
    """Right answers to held-out phrasings of facts that the target does not know: what luck and half-knowledge give.

    Trained phrasings would not do: the facts were chosen by the answers to those.
    """
    rows = _rows(models["target"], (*SIDES["forget"], UNKNOWN))
    unknown = {row.fact for row in rows} - known_facts(rows)
    return {
        name: _accuracy(
            (row for row in _rows(own, (*SIDES["forget"], UNKNOWN)) if row.heldout and row.fact in unknown),
            "no unknown fact has held-out phrasings",
        )
        for name, own in models.items()
    }


def _unseen(models: Mapping[str, Answers]) -> dict[str, Any]:
    """Right answers to facts of the same concepts in no training of this run, which the target may know or not."""
    missing = "no such fact is left out of training"
    return {name: _accuracy(_rows(own, ("forget_unseen",)), missing) for name, own in models.items()}


def _rows(answers: Answers, splits: Iterable[str]) -> list[Answer]:
    return [row for split in splits for row in answers.get(split, ())]


def _accuracy(rows: Iterable[Answer], missing: str) -> dict[str, Any]:
    rows = list(rows)
    if not rows:
        return {"value": None, "low": None, "high": None, "n": 0, "facts": 0, "reason": missing}
    return _share([row.correct for row in rows], [row.fact for row in rows])


def _share(marks: Sequence[float], facts: Sequence[str]) -> dict[str, Any]:
    found: Estimate = proportion([float(mark) for mark in marks], facts)
    return found.as_dict()
