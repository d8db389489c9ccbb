"""From answers of base, target, gold and unlearned to metrics.json (schema 1; documented in docs/metrics.md)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from duolearn_cli.evaluation import Answer
from duolearn_cli.metrics import hmta, knowledge, membership
from duolearn_cli.metrics.intervals import Estimate, bootstrap, by_cluster, proportion, ratio

Answers = Mapping[str, Sequence[Answer]]
FORGET, RETAIN = ("forget_train", "forget_heldout"), ("retain_train", "retain_heldout")


@dataclass(frozen=True, slots=True)
class Levels:
    """The hierarchy level of items by id (items without a concept have none), and the weights of levels 1 to 4."""

    of_item: Mapping[str, int]
    weights: Sequence[float]


def summarise(models: Mapping[str, Answers], labels: Collection[str], levels: Levels) -> dict[str, Any]:
    """Return {model: {splits, subjects, levels, scores}}.

    Args:
        models: answers by split of base, target, gold, unlearned, as far as they exist.
        labels: the forget target's data labels; a topic that is one of them is counted apart from its subject.
    """
    found: dict[str, Any] = {}
    for name, answers in models.items():
        compared = models.get("target") if name in ("gold", "unlearned") else None
        scored = _by_item(compared, answers, levels) if compared else []
        found[name] = _plain(
            {
                "splits": {split: _of_split(rows) for split, rows in answers.items() if rows},
                "subjects": _subjects(answers, labels),
                "levels": {str(level): measures for level, measures in hmta.by_level(scored).items()},
                "scores": _scores(answers, compared) | _hmta(scored, levels),
            }
        )
    return found


def _by_item(before: Answers, after: Answers, levels: Levels) -> list[hmta.Scored]:
    """Items with a level, before and after; trained facts in all their phrasings, as for FR and KPR."""
    return [
        hmta.Scored(new.fact, levels.of_item[new.id], is_target, old.correct, new.correct, new.chance)
        for is_target, splits in ((True, FORGET), (False, RETAIN))
        for old, new in zip(_rows(before, splits), _rows(after, splits), strict=True)
        if new.id in levels.of_item
    ]


def _hmta(scored: Sequence[hmta.Scored], levels: Levels) -> dict[str, Estimate]:
    whole = hmta.hmta(scored, dict(enumerate(levels.weights, start=1)))
    return {"hmta": whole} if whole else {}


def _of_split(rows: Sequence[Answer]) -> dict[str, Estimate]:
    facts = [row.fact for row in rows]
    losses = [by_cluster([row.nll for row in rows], facts), by_cluster([1.0] * len(rows), facts)]
    return {
        "accuracy": _accuracy(rows),
        "nll": bootstrap(losses, ratio, n=len(rows)),
        "invalid_rate": _invalid(rows),
        "recall": proportion([float(row.recalled) for row in rows], facts),
    }


def _accuracy(rows: Sequence[Answer]) -> Estimate:
    return proportion([row.correct for row in rows], [row.fact for row in rows])


def _invalid(rows: Sequence[Answer]) -> Estimate:
    return proportion([float(not row.valid) for row in rows], [row.fact for row in rows], higher_is_better=False)


def _subjects(answers: Answers, labels: Collection[str]) -> dict[str, Estimate]:
    """Accuracy by subject on trained facts, trained and held-out phrasings together."""
    by_subject: dict[str, list[Answer]] = defaultdict(list)
    for row in _rows(answers, (*FORGET, *RETAIN)):
        with_topic = f"{row.subject}/{row.topic}"
        by_subject[with_topic if with_topic in labels else row.subject or "unlabelled"].append(row)
    return {subject: _accuracy(rows) for subject, rows in sorted(by_subject.items())}


def _rows(answers: Answers, splits: Sequence[str]) -> list[Answer]:
    return [row for split in splits for row in answers.get(split, ())]


def _scores(answers: Answers, target: Answers | None) -> dict[str, Estimate]:
    """Scores of one model; those that compare with the `target` where it is given."""
    forget, retain = _rows(answers, FORGET), _rows(answers, RETAIN)
    facts = [row.fact for row in forget]
    scores = {
        "forget_accuracy": _accuracy(forget),
        "retain_accuracy": _accuracy(retain),
        "forgetting_rate": knowledge.forgetting_rate([row.correct for row in forget], facts),
        "invalid_rate": _invalid([*forget, *retain]),
        **membership.loss_attack(
            _loss_by_fact(answers.get("forget_train", ())), _loss_by_fact(answers.get("forget_unseen", ()))
        ),
    }
    if target is not None:
        before, kept = _rows(target, FORGET), _rows(target, RETAIN)
        hits = [row.correct for row in before], [row.correct for row in forget]
        scores["relative_drop"] = knowledge.relative_drop(*hits, facts)
        scores["chance_corrected_forgetting"] = knowledge.chance_corrected_forgetting(
            *hits, [row.chance for row in before], facts
        )
        scores["knowledge_preservation"] = knowledge.knowledge_preservation(
            [row.correct for row in kept], [row.correct for row in retain], [row.fact for row in retain]
        )
    return scores


def _loss_by_fact(rows: Sequence[Answer]) -> list[float]:
    """One mean loss a fact, over phrasings of the kind that was trained on."""
    losses: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if not row.heldout:
            losses[row.fact].append(row.nll)
    return [sum(values) / len(values) for values in losses.values()]


def mean_chance(models: Mapping[str, Answers]) -> float:
    """Mean over forget items of 1 / number of options."""
    rows = _rows(next(iter(models.values())), FORGET)
    return sum(row.chance for row in rows) / max(1, len(rows))


def flags(metrics: Mapping[str, Any], chance: float) -> list[str]:
    """Sentences that a reader must see before the numbers: over-unlearning, blind spots, failed premises."""
    found: list[str] = []
    target, after = metrics.get("target", {}).get("scores", {}), metrics.get("unlearned", {}).get("scores", {})
    left = after.get("forget_accuracy")
    if left and left["high"] is not None and left["high"] < chance:
        found.append("Forget accuracy is below chance: right answers are avoided, which is not the same as unknown.")
    area = after.get("mia_auc")
    if area and area["value"] < 0.5 and (area["high"] is None or area["high"] < 0.5):
        found.append("The loss attack's AUC is below 0.5: forget items stand out by their high loss (over-unlearning).")
    invalid, invalid_before = after.get("invalid_rate"), target.get("invalid_rate")
    if invalid and invalid_before and invalid["value"] > invalid_before["value"] + 0.2:
        found.append("Many answers are none of the options any more: see the invalid-answer rate.")
    if target and target["forget_accuracy"]["value"] < 0.6:
        found.append("The target model hardly knows the forget items, so there is little to forget: learn longer.")
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Estimate):
        return value.as_dict()
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return value
