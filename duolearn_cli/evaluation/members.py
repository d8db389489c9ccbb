"""The membership attacks on a run: who is a member, what each attack scores, whether the split is sound."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from duolearn_cli.evaluation.metrics import membership
from duolearn_cli.evaluation.metrics.intervals import Estimate
from duolearn_cli.evaluation.scoring import Answer

Answers = Mapping[str, Sequence[Answer]]
# What members and non-members are of.
SPLITS = ("forget_train", "forget_unseen")
# Models that have seen neither members nor non-members; the first one there is checks the attacks.
UNTRAINED = ("gold", "base")
# Draws the pairs of the membership attacks.
PAIR_SEED = 0


def member_pairs(models: Mapping[str, Answers]) -> list[tuple[str, str]]:
    """Facts that were trained on and facts that never were, in pairs of about equal length: the same for all models."""
    answers = next(iter(models.values()))
    members, others = (
        {fact: sum(row.tokens for row in rows) / len(rows) for fact, rows in _by_fact(answers.get(split, ())).items()}
        for split in SPLITS
    )
    return membership.matched(members, others, PAIR_SEED)


def attack_scores(
    name: str, models: Mapping[str, Answers], pairs: Sequence[tuple[str, str]]
) -> dict[str, tuple[list[float], list[float]]]:
    """One model's scores of members and of non-members by attack, in the order of the pairs; empty without a pair.

    A fact's score is the mean over its phrasings of the kind that was trained on. The reference attack needs a base
    model, and is not made on it: what its loss differs by from itself tells nothing. An attack with a score that is no
    finite number, as models give that have broken down, is left out: it ranks nothing.
    """
    if not pairs:
        return {}
    base = models.get("base") if name != "base" else None
    reference = {row.id: row.nll for split in SPLITS for row in base.get(split, ())} if base else {}
    values: dict[str, dict[str, float]] = {name: {} for name in membership.ATTACKS if base or name != "reference"}
    for split in SPLITS:
        for fact, rows in _by_fact(models[name].get(split, ())).items():
            scores = [_scores_of_attacks(row, reference.get(row.id, math.nan)) for row in rows]
            for attack, of_fact in values.items():
                of_fact[fact] = sum(score[attack] for score in scores) / len(scores)
    members, others = zip(*pairs, strict=True)
    found = {
        attack: ([of_fact[fact] for fact in members], [of_fact[fact] for fact in others])
        for attack, of_fact in values.items()
    }
    return {attack: sides for attack, sides in found.items() if all(map(math.isfinite, itertools.chain(*sides)))}


def _scores_of_attacks(row: Answer, reference_nll: float) -> dict[str, float]:
    return {
        "loss": -row.nll,
        "zlib": -row.nll * row.tokens / row.compressed,
        "min_k": row.min_k,
        "min_k_plus": row.min_k_plus,
        "reference": reference_nll - row.nll,
    }


def headline(attacks: Mapping[str, Mapping[str, Estimate]], worst: Mapping[str, Any]) -> dict[str, Estimate]:
    """What stands among a model's scores: the loss attack, the worst attack, and both if nothing differed."""
    loss = attacks.get("loss") or {}
    found = {f"mia_{name}": loss[name] for name in ("auc", "score", "expected", "tpr_1", "tpr_01") if name in loss}
    if worst:
        found |= {"mia_worst": worst["score"], "mia_worst_expected": worst["expected"]}
    return found


def membership_check(models: Mapping[str, Answers]) -> dict[str, Any] | None:
    """Whether the attacks see a difference on a model that saw neither side; None where no such model has scores."""
    name = next((name for name in UNTRAINED if name in models), None)
    pairs = member_pairs(models)
    if name is None or not pairs:
        return None
    scores = attack_scores(name, models, pairs)
    return {"model": name, "pairs": len(pairs), **membership.self_check(scores)} if scores else None


def roc_curves(models: Mapping[str, Answers]) -> dict[str, Any]:
    """{model: {attack: {fpr, tpr}}}: the corners of every attack's ROC curve."""
    pairs = member_pairs(models)
    return {
        name: {attack: membership.roc(*sides) for attack, sides in attack_scores(name, models, pairs).items()}
        for name in models
    }


def _by_fact(rows: Sequence[Answer]) -> dict[str, list[Answer]]:
    """Phrasings of the kind that was trained on, by fact."""
    found: dict[str, list[Answer]] = defaultdict(list)
    for row in rows:
        if not row.heldout:
            found[row.fact].append(row)
    return found
