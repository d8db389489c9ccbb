"""From answers of base, target, gold and unlearned to metrics.json (schema 1; documented in docs/metrics.md)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from duolearn_cli.concepts.token_classes import CLASS_NAMES
from duolearn_cli.evaluation import members
from duolearn_cli.evaluation.answer import SIDES, Answer, Answers
from duolearn_cli.evaluation.measures import MEASURES, OF_SPLIT
from duolearn_cli.evaluation.measures.evidence import Evidence
from duolearn_cli.evaluation.measures.evidence import Levels as Levels
from duolearn_cli.evaluation.metrics import gold, hmta
from duolearn_cli.evaluation.metrics.intervals import Estimate, mean


def summarise(
    models: Mapping[str, Answers], labels: Collection[str], levels: Levels, floors: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """Return {model: {splits, subjects, levels, scores, membership, worst_attack, gold, calibration, token_classes}}.

    Args:
        models: answers by split of base, target, gold, unlearned, as far as they exist.
        labels: the forget target's data labels; a topic that is one of them is counted apart from its subject.
        floors: by id of a forget item what it would score without knowledge, by default 1 / number of options.
            Forgetting is measured from it.
    """
    pairs = members.member_pairs(models)
    return {name: _plain(_of_model(Evidence(name, models, levels, floors or {}, pairs), labels)) for name in models}


def _of_model(evidence: Evidence, labels: Collection[str]) -> dict[str, Any]:
    answers, (attacks, worst) = evidence.answers, evidence.attacks
    return {
        "splits": {split: _of_split(rows) for split, rows in answers.items() if rows},
        "subjects": _subjects(evidence, labels),
        "levels": _levels(evidence),
        "scores": scores(evidence),
        "membership": attacks,
        "worst_attack": worst,
        "gold": _distances(evidence),
        "calibration": {side: evidence.calibration(side) for side in SIDES},
        "token_classes": {side: _token_classes(evidence.rows(side)) for side in SIDES},
    }


def scores(evidence: Evidence) -> dict[str, Estimate]:
    """The measures that are among a model's scores, by key."""
    own = {key: measure.estimate(evidence) for key, measure in MEASURES.items() if measure.path == ("scores", key)}
    return {key: found for key, found in own.items() if found is not None}


def _of_split(rows: Sequence[Answer]) -> dict[str, Estimate]:
    return {key: measure.of(rows) for key, measure in OF_SPLIT.items()}


def _levels(evidence: Evidence) -> dict[str, dict[str, Estimate]]:
    """By level of the hierarchy, of models that are compared with the target."""
    if evidence.model in ("base", "target") or not evidence.knows("target"):
        return {}
    return {str(level): measures for level, measures in hmta.by_level(evidence.items_with_level).items()}


def _token_classes(rows: Sequence[Answer]) -> dict[str, Estimate]:
    """Mean nll of each token class over questions and right answers; classes without a token are left out."""
    found = {}
    for name in CLASS_NAMES:
        own = [(row.fact, *row.classes[name]) for row in rows if row.classes.get(name, (0.0, 0))[1]]
        if own:
            facts, sums, counts = zip(*own, strict=True)
            # `mean` counts answers. The value is a mean over tokens, so their number belongs beside it.
            found[name] = replace(mean(sums, facts, counts), n=sum(counts))
    return found


def _distances(evidence: Evidence) -> dict[str, Any]:
    """How far losses and predictions are from gold's, by side; empty for gold and without one."""
    if evidence.model == "gold" or not evidence.knows("gold"):
        return {}
    found = {}
    for side in SIDES:
        ours, theirs = evidence.rows(side), evidence.rows(side, "gold")
        found[side] = gold.distance(
            [row.nll for row in ours],
            [row.nll for row in theirs],
            [row.prediction for row in ours],
            [row.prediction for row in theirs],
            evidence.facts(side),
        )
    return found


def _subjects(evidence: Evidence, labels: Collection[str]) -> dict[str, Estimate]:
    """Accuracy by subject on trained facts, trained and held-out phrasings together."""
    by_subject: dict[str, list[Answer]] = defaultdict(list)
    for row in evidence.rows("both"):
        with_topic = f"{row.subject}/{row.topic}"
        by_subject[with_topic if with_topic in labels else row.subject or "unlabelled"].append(row)
    return {subject: OF_SPLIT["accuracy"].of(rows) for subject, rows in sorted(by_subject.items())}


def mean_chance(models: Mapping[str, Answers], side: str = "forget") -> float:
    """Mean over items of a side of 1 / number of options."""
    answers = next(iter(models.values()))
    rows = [row for split in SIDES[side] for row in answers.get(split, ())]
    return sum(row.chance for row in rows) / max(1, len(rows))


def _plain(value: Any) -> Any:
    if isinstance(value, Estimate):
        return value.as_dict()
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return value
