"""From answers of base, target, gold and unlearned to metrics.json (schema 1; documented in docs/metrics.md)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from duolearn_cli.concepts.token_classes import CLASS_NAMES
from duolearn_cli.evaluation import members
from duolearn_cli.evaluation.members import Answers
from duolearn_cli.evaluation.metrics import calibration, gold, hmta, knowledge, membership
from duolearn_cli.evaluation.metrics.intervals import Estimate, mean, proportion
from duolearn_cli.evaluation.scoring import Answer, shares_of_highest

FORGET, RETAIN = ("forget_train", "forget_heldout"), ("retain_train", "retain_heldout")
SIDES = {"forget": FORGET, "retain": RETAIN}


@dataclass(frozen=True, slots=True)
class Levels:
    """The hierarchy level of items by id (items without a concept have none), and the weights of levels 1 to 4."""

    of_item: Mapping[str, int]
    weights: Sequence[float]


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
    found: dict[str, Any] = {}
    for name, answers in models.items():
        reference = models.get("target") if name != "base" else None
        compared = reference if name != "target" else None
        yardstick = models.get("gold") if name != "gold" else None
        # The target beside itself: what a model that forgot nothing gets.
        scored = _by_item(reference, answers, levels, floors or {}) if reference else []
        attacks, worst = membership.attacks(members.attack_scores(name, models, pairs))
        found[name] = _plain(
            {
                "splits": {split: _of_split(rows) for split, rows in answers.items() if rows},
                "subjects": _subjects(answers, labels),
                "levels": {
                    str(level): measures for level, measures in hmta.by_level(scored if compared else []).items()
                },
                "scores": _scores(answers, compared, yardstick, floors or {})
                | members.headline(attacks, worst)
                | _hmta(scored, levels),
                "membership": attacks,
                "worst_attack": worst,
                "gold": _distances(answers, yardstick) if yardstick else {},
                "calibration": {side: _calibration(_rows(answers, splits)) for side, splits in SIDES.items()},
                "token_classes": {side: _token_classes(_rows(answers, splits)) for side, splits in SIDES.items()},
            }
        )
    return found


def _by_item(before: Answers, after: Answers, levels: Levels, floors: Mapping[str, float]) -> list[hmta.Scored]:
    """Items with a level, before and after; trained facts in all their phrasings, as for FR and KPR."""
    return [
        hmta.Scored(
            new.fact, levels.of_item[new.id], is_target, old.correct, new.correct, floors.get(new.id, new.chance)
        )
        for is_target, splits in ((True, FORGET), (False, RETAIN))
        for old, new in zip(_rows(before, splits), _rows(after, splits), strict=True)
        if new.id in levels.of_item
    ]


def _hmta(scored: Sequence[hmta.Scored], levels: Levels) -> dict[str, Estimate]:
    whole = hmta.hmta(scored, dict(enumerate(levels.weights, start=1)))
    return {"hmta": whole} if whole else {}


def _of_split(rows: Sequence[Answer]) -> dict[str, Estimate]:
    facts = [row.fact for row in rows]
    by_total = [shares_of_highest(row.totals)[row.answer] for row in rows]
    return {
        "accuracy": _accuracy(rows),
        "accuracy_by_total": proportion(by_total, facts),
        "nll": mean([row.nll for row in rows], facts),
        # From 0 to 1, and mostly near an end: as shares.
        "probability": proportion([math.exp(-row.nll) for row in rows], facts),
        "extraction_strength": proportion([row.strength for row in rows], facts),
        "invalid_rate": _invalid(rows),
        "recall": _recall(rows),
    }


def _calibration(rows: Sequence[Answer]) -> dict[str, Any]:
    if not rows:
        return {}
    facts, chances = [row.fact for row in rows], [row.chances for row in rows]
    chosen, answers = [row.chosen for row in rows], [row.answer for row in rows]
    confidences = [own[row.prediction] for own, row in zip(chances, rows, strict=True)]
    return {
        "ece": calibration.expected_calibration_error(confidences, [row.correct for row in rows], facts),
        "confidence": mean(confidences, facts, most=1.0),
        "entropy": calibration.normalised_entropy(chances, facts),
        "position_bias": calibration.position_bias(chosen, answers, facts),
        "favourite_place": calibration.favourite_place(chosen, answers, facts),
        "positions": calibration.position_shares(chosen),
        "right_positions": calibration.position_shares(calibration.as_shares(answers)),
    }


def _token_classes(rows: Sequence[Answer]) -> dict[str, Estimate]:
    """Mean nll of each token class over questions and right answers; classes without a token are left out."""
    found = {}
    for name in CLASS_NAMES:
        own = [(row.fact, *row.classes[name]) for row in rows if row.classes.get(name, (0.0, 0))[1]]
        if own:
            facts, sums, counts = zip(*own, strict=True)
            found[name] = replace(mean(sums, facts, counts), n=sum(counts))
    return found


def _distances(answers: Answers, yardstick: Answers) -> dict[str, Any]:
    found = {}
    for side, splits in SIDES.items():
        ours, theirs = _rows(answers, splits), _rows(yardstick, splits)
        found[side] = gold.distance(
            [row.nll for row in ours],
            [row.nll for row in theirs],
            [row.prediction for row in ours],
            [row.prediction for row in theirs],
            [row.fact for row in ours],
        )
    return found


def _accuracy(rows: Sequence[Answer]) -> Estimate:
    return proportion([row.correct for row in rows], [row.fact for row in rows])


def _recall(rows: Sequence[Answer]) -> Estimate:
    return proportion([float(row.recalled) for row in rows], [row.fact for row in rows])


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


def _scores(
    answers: Answers, target: Answers | None, yardstick: Answers | None, floors: Mapping[str, float]
) -> dict[str, Estimate]:
    """Scores of one model; those that compare with the `target`, or it with gold, where they are given."""
    forget, retain = _rows(answers, FORGET), _rows(answers, RETAIN)
    facts = [row.fact for row in forget]
    scores = {
        "forget_accuracy": _accuracy(forget),
        "retain_accuracy": _accuracy(retain),
        "forgetting_rate": knowledge.forgetting_rate([row.correct for row in forget], facts),
        "forget_recall": replace(_recall(forget), higher_is_better=False),
        "retain_recall": replace(_recall(retain), higher_is_better=True),
        # Neither way is better: a model that never learned the forget items says other things too.
        "forget_invalid_rate": replace(_invalid(forget), higher_is_better=None),
        "retain_invalid_rate": _invalid(retain),
        "invalid_rate": _invalid([*forget, *retain]),
    }
    if target is not None:
        before, kept = _rows(target, FORGET), _rows(target, RETAIN)
        hits = [row.correct for row in before], [row.correct for row in forget]
        scores["relative_drop"] = knowledge.relative_drop(*hits, facts)
        scores["chance_corrected_forgetting"] = knowledge.chance_corrected_forgetting(
            *hits, [floors.get(row.id, row.chance) for row in before], facts
        )
        scores["knowledge_preservation"] = knowledge.knowledge_preservation(
            [row.correct for row in kept], [row.correct for row in retain], [row.fact for row in retain]
        )
        scores["retain_recall_share"] = knowledge.recall_share(
            [float(row.recalled) for row in kept],
            [float(row.recalled) for row in retain],
            [row.fact for row in retain],
        )
        if yardstick is not None:
            never = [row.correct for row in _rows(yardstick, FORGET)]
            scores["forgetting_against_gold"] = knowledge.forgetting_against_gold(*hits, never, facts)
    return scores


def mean_chance(models: Mapping[str, Answers], side: str = "forget") -> float:
    """Mean over items of a side of 1 / number of options."""
    rows = _rows(next(iter(models.values())), SIDES[side])
    return sum(row.chance for row in rows) / max(1, len(rows))


def _plain(value: Any) -> Any:
    if isinstance(value, Estimate):
        return value.as_dict()
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return value
