"""What models know of documents, by nearness to what is forgotten: answers about facts, and words of the texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from duolearn_cli.data.nearness import GROUPS, PARTS
from duolearn_cli.evaluation.document_score import WindowScore
from duolearn_cli.evaluation.metrics.intervals import mean, proportion
from duolearn_cli.evaluation.scoring import Answer

# By split.
Answers = Mapping[str, Sequence[Answer]]


def fact_groups(
    answers: Answers, groups: Mapping[str, str], continuing: Collection[str]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the share of right answers to held-out phrasings, by kind of asking and by group of facts.

    Documents that come without questions have no held-out phrasings; all their probes are asked.

    Args:
        answers: of one model, by split.
        groups: the group of each kept fact, see `data.nearness`.
        continuing: ids of items that ask to continue a text; the others are questions.

    Returns:
        ``{"question" or "continuation": {"forgotten" or a group: estimate}}``, with intervals over facts.
    """
    kinds: dict[str, dict[str, dict[str, Any]]] = {}
    for kind, is_kind in (("question", False), ("continuation", True)):
        rows = {
            name: [row for row in _asked(answers, side) if (row.id in continuing) == is_kind]
            for name, side in (("forgotten", "forget"), ("kept", "retain"))
        }
        by_group = {"forgotten": rows["forgotten"]}
        by_group |= {name: [row for row in rows["kept"] if groups.get(row.fact) == name] for name in GROUPS}
        found = {
            name: proportion([row.correct for row in own], [row.fact for row in own]).as_dict()
            for name, own in by_group.items()
            if own
        }
        if found:
            kinds[kind] = found
    return kinds


def _asked(answers: Answers, side: str) -> Sequence[Answer]:
    """Return the answers to held-out phrasings of a side; to all, where the data has none."""
    return answers.get(f"{side}_heldout") or answers.get(f"{side}_train", ())


def words(scores: Sequence[WindowScore]) -> dict[str, dict[str, Any]]:
    """Return how a model predicts the words of documents, by part, with intervals over documents.

    ``predicted``: the share of tokens that are its first choice. ``nll``: the mean loss of a token (nats). ``values``:
    the share of values all of whose tokens are its first choice.
    """
    found: dict[str, dict[str, Any]] = {}
    for part in PARTS:
        tokens = [(one.document, one.tokens[part]) for one in scores if part in one.tokens]
        if not tokens:
            continue
        found[part] = {
            "predicted": _ratio(tokens, lambda row: row[1], lambda row: row[2]),
            "nll": _ratio(tokens, lambda row: row[0], lambda row: row[2], most=math.inf),
        }
        values = [(one.document, one.values[part]) for one in scores if part in one.values]
        if values:
            found[part]["values"] = _ratio(values, lambda row: row[0], lambda row: row[1])
    return found


def extraction(scores: Sequence[WindowScore]) -> dict[str, Any]:
    """Return the mean extraction strength of the windows that state something to be forgotten."""
    rows = [(one.document, one.strength) for one in scores if "forgotten" in one.tokens and math.isfinite(one.strength)]
    if not rows:
        return {}
    documents, strengths = zip(*rows, strict=True)
    return {"strength": mean(list(strengths), list(documents), most=1.0).as_dict()}


def summarise(
    scores: Mapping[str, Sequence[WindowScore]],
    answers: Mapping[str, Answers],
    groups: Mapping[str, str],
    continuing: Collection[str],
) -> dict[str, Any]:
    """Return the part `documents` of metrics.json, by model."""
    return {
        name: {"facts": fact_groups(own, groups, continuing), "words": words(scores[name])} | extraction(scores[name])
        for name, own in answers.items()
    }


def _ratio(
    rows: Sequence[tuple[str, Any]],
    above: Callable[[Any], float],
    below: Callable[[Any], float],
    *,
    most: float = 1.0,
) -> dict[str, Any]:
    """A sum over another, at most `most`, with an interval over documents."""
    documents, counts = zip(*rows, strict=True)
    values, sizes = [above(row) for row in counts], [below(row) for row in counts]
    return mean(values, list(documents), sizes, most=most).as_dict()
