"""The membership attacks on a run's models: the members, each attack's scores, and the check of the split."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from duolearn_cli.evaluation.answer import Answer, Answers
from duolearn_cli.evaluation.metrics import membership

# The splits of members and of non-members.
SPLITS = ("forget_train", "forget_unseen")
# Models that were trained on neither. The first one available checks the attacks.
UNTRAINED = ("gold", "base")
# Fixed, so that all runs on the same data compare the same pairs.
PAIR_SEED = 0


def member_pairs(models: Mapping[str, Answers]) -> list[tuple[str, str]]:
    """Pairs of a trained and an unseen forget fact with answers of about the same length; the same for all models."""
    answers = next(iter(models.values()))
    members, others = (
        {fact: sum(row.tokens for row in rows) / len(rows) for fact, rows in _by_fact(answers.get(split, ())).items()}
        for split in SPLITS
    )
    return membership.matched(members, others, PAIR_SEED)


def attack_scores(
    name: str, models: Mapping[str, Answers], pairs: Sequence[tuple[str, str]]
) -> dict[str, tuple[list[float], list[float]]]:
    """The scores of members and of non-members by each attack on one model.

    A fact's score is the mean over its phrasings of the trained kind. An attack with any score that is not finite, as
    from a model that diverged, is left out, since such scores cannot be ranked.

    Args:
        name: the attacked model.
        models: the answers of all models, by split.
        pairs: from `member_pairs`.

    Returns:
        By attack, the scores of members and of non-members in the order of the pairs; empty without pairs.
    """
    if not pairs:
        return {}
    # The reference attack needs the base model, and on the base itself it would compare the loss with itself.
    base = models.get("base") if name != "base" else None
    reference = {row.id: row.nll for split in SPLITS for row in base.get(split, ())} if base else {}
    values: dict[str, dict[str, float]] = {name: {} for name in membership.ATTACKS if base or name != "reference"}
    for split in SPLITS:
        for fact, rows in _by_fact(models[name].get(split, ())).items():
            scores = [_scores_of_attacks(row, reference.get(row.id, math.nan)) for row in rows]
            for attack, of_fact in values.items():
                of_fact[fact] = sum(score[attack] for score in scores) / len(scores)
    members, others = zip(*pairs, strict=True)
    by_attack = {
        attack: ([of_fact[fact] for fact in members], [of_fact[fact] for fact in others])
        for attack, of_fact in values.items()
    }
    return {attack: sides for attack, sides in by_attack.items() if all(map(math.isfinite, itertools.chain(*sides)))}


def _scores_of_attacks(row: Answer, reference_nll: float) -> dict[str, float]:
    """One answer's score in every attack (`membership.ATTACKS` has the sources)."""
    return {
        "loss": -row.nll,
        # The nll is per token, so it is multiplied by the tokens. zlib sees the answer alone, where Carlini et al. 2021
        # take the whole text (docs/measuring.md, "Membership attacks").
        "zlib": -row.nll * row.tokens / row.compressed,
        "min_k": row.min_k,
        "min_k_plus": row.min_k_plus,
        "reference": reference_nll - row.nll,
    }


def membership_check(models: Mapping[str, Answers]) -> dict[str, Any] | None:
    """The `membership_check` section of metrics.json: whether attacks see a difference on a model trained on neither
    side.

    None if there is no such model, or it has no scores.
    """
    name = next((name for name in UNTRAINED if name in models), None)
    pairs = member_pairs(models)
    if name is None or not pairs:
        return None
    scores = attack_scores(name, models, pairs)
    return {"model": name, "pairs": len(pairs), **membership.self_check(scores)} if scores else None


def roc_curves(models: Mapping[str, Answers]) -> dict[str, Any]:
    """The corners of every attack's ROC curve, as ``{model: {attack: {"fpr": [...], "tpr": [...]}}}``."""
    pairs = member_pairs(models)
    return {
        name: {attack: membership.roc(*sides) for attack, sides in attack_scores(name, models, pairs).items()}
        for name in models
    }


def _by_fact(rows: Sequence[Answer]) -> dict[str, list[Answer]]:
    """The answers to phrasings of the trained kind, by fact."""
    by_fact: dict[str, list[Answer]] = defaultdict(list)
    for row in rows:
        # Unseen facts are asked in held-out phrasings too, but members only in trained ones.
        if not row.heldout:
            by_fact[row.fact].append(row)
    return by_fact
