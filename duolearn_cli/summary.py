"""From answers of base, target, gold and unlearned to metrics.json (schema 1; documented in docs/metrics.md)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from duolearn_cli.concepts.token_classes import CLASS_NAMES
from duolearn_cli.evaluation import Answer
from duolearn_cli.metrics import calibration, gold, hmta, knowledge, membership
from duolearn_cli.metrics.intervals import Estimate, mean, proportion

Answers = Mapping[str, Sequence[Answer]]
FORGET, RETAIN = ("forget_train", "forget_heldout"), ("retain_train", "retain_heldout")
SIDES = {"forget": FORGET, "retain": RETAIN}
# Models that have seen neither members nor non-members; the first one there is checks the attacks.
UNTRAINED = ("gold", "base")
# Draws the pairs of the membership attacks.
PAIR_SEED = 0


@dataclass(frozen=True, slots=True)
class Levels:
    """The hierarchy level of items by id (items without a concept have none), and the weights of levels 1 to 4."""

    of_item: Mapping[str, int]
    weights: Sequence[float]


def summarise(
    models: Mapping[str, Answers], labels: Collection[str], levels: Levels, floors: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """Return {model: {splits, subjects, levels, scores, membership, gold, calibration, token_classes}}.

    Args:
        models: answers by split of base, target, gold, unlearned, as far as they exist.
        labels: the forget target's data labels; a topic that is one of them is counted apart from its subject.
        floors: by id of a forget item what it would score without knowledge, by default 1 / number of options.
            Forgetting is measured from it.
    """
    pairs = member_pairs(models)
    found: dict[str, Any] = {}
    for name, answers in models.items():
        reference = models.get("target") if name != "base" else None
        compared = reference if name != "target" else None
        yardstick = models.get("gold") if name != "gold" else None
        # The target beside itself: what a model that forgot nothing gets.
        scored = _by_item(reference, answers, levels, floors or {}) if reference else []
        attacks = {
            attack: membership.attack(*sides)
            for attack, sides in attack_scores(answers, models.get("base"), pairs).items()
            # What the base model's loss differs by from itself tells nothing.
            if (name, attack) != ("base", "reference")
        }
        found[name] = _plain(
            {
                "splits": {split: _of_split(rows) for split, rows in answers.items() if rows},
                "subjects": _subjects(answers, labels),
                "levels": {
                    str(level): measures for level, measures in hmta.by_level(scored if compared else []).items()
                },
                "scores": _scores(answers, compared, yardstick, floors or {})
                | _loss_attack(attacks)
                | _hmta(scored, levels),
                "membership": {attack: values for attack, values in attacks.items() if values},
                "gold": _distances(answers, yardstick) if yardstick else {},
                "calibration": {side: _calibration(_rows(answers, splits)) for side, splits in SIDES.items()},
                "token_classes": {side: _token_classes(_rows(answers, splits)) for side, splits in SIDES.items()},
            }
        )
    return found


def member_pairs(models: Mapping[str, Answers]) -> list[tuple[str, str]]:
    """Facts that were trained on and facts that never were, in pairs of about equal length: the same for all models."""
    answers = next(iter(models.values()))
    members, others = (
        {fact: sum(row.tokens for row in rows) / len(rows) for fact, rows in _by_fact(answers.get(split, ())).items()}
        for split in ("forget_train", "forget_unseen")
    )
    return membership.matched(members, others, PAIR_SEED)


def attack_scores(
    answers: Answers, base: Answers | None, pairs: Sequence[tuple[str, str]]
) -> dict[str, tuple[list[float], list[float]]]:
    """Members' and non-members' scores by attack, in the order of the pairs; without a base model no reference attack.

    A fact's score is the mean over its phrasings of the kind that was trained on.
    """
    if not pairs:
        return {}
    splits = ("forget_train", "forget_unseen")
    reference = {row.id: row.nll for row in _rows(base, splits)} if base else {}
    values: dict[str, dict[str, float]] = {name: {} for name in membership.ATTACKS if base or name != "reference"}
    for split in splits:
        for fact, rows in _by_fact(answers.get(split, ())).items():
            scores = [_scores_of_attacks(row, reference.get(row.id, math.nan)) for row in rows]
            for name, of_fact in values.items():
                of_fact[fact] = sum(score[name] for score in scores) / len(scores)
    members, others = zip(*pairs, strict=True)
    return {name: ([of[fact] for fact in members], [of[fact] for fact in others]) for name, of in values.items()}


def _scores_of_attacks(row: Answer, reference_nll: float) -> dict[str, float]:
    return {
        "loss": -row.nll,
        "zlib": -row.nll * row.tokens / row.compressed,
        "min_k": row.min_k,
        "min_k_plus": row.min_k_plus,
        "reference": reference_nll - row.nll,
    }


def membership_check(models: Mapping[str, Answers]) -> dict[str, Any] | None:
    """Whether the membership attacks are blind on a model that saw neither side; None where there is no such model."""
    name = next((name for name in UNTRAINED if name in models), None)
    pairs = member_pairs(models)
    if name is None or not pairs:
        return None
    scores = attack_scores(models[name], models.get("base"), pairs)
    if name == "base":
        scores.pop("reference", None)
    return {"model": name, "pairs": len(pairs), **membership.self_check(scores)}


def roc_curves(models: Mapping[str, Answers]) -> dict[str, Any]:
    """{model: {attack: {fpr, tpr}}}: the corners of every attack's ROC curve."""
    pairs = member_pairs(models)
    return {
        name: {
            attack: membership.roc(*sides)
            for attack, sides in attack_scores(answers, models.get("base"), pairs).items()
            if (name, attack) != ("base", "reference")
        }
        for name, answers in models.items()
    }


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
    by_total = [float(max(range(len(row.totals)), key=row.totals.__getitem__) == row.answer) for row in rows]
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
    predictions, answers = [row.prediction for row in rows], [row.answer for row in rows]
    confidences = [own[row.prediction] for own, row in zip(chances, rows, strict=True)]
    return {
        "ece": calibration.expected_calibration_error(confidences, [row.correct for row in rows], facts),
        "confidence": mean(confidences, facts, most=1.0),
        "entropy": calibration.normalised_entropy(chances, facts),
        "position_bias": calibration.position_bias(predictions, answers, facts),
        "favourite_place": calibration.favourite_place(predictions, answers, facts),
        "positions": calibration.position_shares(predictions),
        "right_positions": calibration.position_shares(answers),
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


def _loss_attack(attacks: Mapping[str, Mapping[str, Estimate]]) -> dict[str, Estimate]:
    """The loss attack's figures among the scores, where readers and sweeps look for them."""
    found = attacks.get("loss") or {}
    return {f"mia_{name}": found[name] for name in ("auc", "score", "tpr_1", "tpr_01") if name in found}


def _by_fact(rows: Sequence[Answer]) -> dict[str, list[Answer]]:
    """Phrasings of the kind that was trained on, by fact."""
    found: dict[str, list[Answer]] = defaultdict(list)
    for row in rows:
        if not row.heldout:
            found[row.fact].append(row)
    return found


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
