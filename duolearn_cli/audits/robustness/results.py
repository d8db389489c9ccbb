"""Summarise the rows of robustness.jsonl into robustness.json. Every figure can be computed from the rows alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from duolearn_cli.audits.robustness.attack import Attack, Skipped
from duolearn_cli.audits.robustness.material import SIDES
from duolearn_cli.audits.robustness.recovery import Sheet, above_gold, accuracy, recovered, sheet
from duolearn_cli.evaluation.metrics.intervals import FEW_FACTS

NONE = "none"  # `attack` and `variant` of rows without an attack

Row = Mapping[str, Any]


def summarise(rows: Iterable[Row], attacks: Sequence[Attack], skipped: Sequence[Skipped]) -> dict[str, Any]:
    """The figures of robustness.json (docs/robustness.md): accuracy before, one entry for each attack, the skipped."""
    grouped: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row["attack"], row["variant"]].append(row)
    plain = grouped[NONE, NONE]
    return {
        "before": {
            model: {side: {"accuracy": accuracy(sheet(plain, model, side)).as_dict()} for side in SIDES}
            for model in _models(plain)
        },
        "chance": {side: fmean(row["chance"] for row in plain if row["side"] == side) for side in SIDES},
        "attacks": [_entry(attack, grouped[attack.name, attack.variant], plain) for attack in attacks],
        "skipped": [{"attack": one.name, "variant": one.variant, "reason": one.reason} for one in skipped],
    }


def _models(rows: Iterable[Row]) -> list[str]:
    """The distinct models, in their order."""
    return list(dict.fromkeys(row["model"] for row in rows))


def _entry(attack: Attack, rows: Sequence[Row], plain: Sequence[Row]) -> dict[str, Any]:
    models = _models(rows)
    compared = attack.compared_with
    outcomes = {model: {side: _outcome(rows, plain, model, side, compared) for side in SIDES} for model in models}
    return {
        "attack": attack.name,
        "variant": attack.variant,
        "phrasings": attack.phrasings,
        "compared_with": compared,
        "details": dict(attack.details),
        "models": outcomes,
        "above_gold": {side: _above_gold(rows, plain, side, compared) for side in SIDES},
        "blind": is_blind(outcomes["unlearned"]["retain"]),
    }


def _outcome(rows: Sequence[Row], plain: Sequence[Row], model: str, side: str, compared: str) -> dict[str, Any]:
    """One model's figures on one side: accuracy under the attack and before it, and the share recovered."""
    after, before, target = _sheets(rows, plain, model, side, compared)
    everything = sheet(rows, model, side)
    # The target has forgotten nothing, and the base has no answers before an attack.
    share = None if model == "target" else recovered(after, before, target) if before else None
    return {
        "accuracy": accuracy(after).as_dict(),
        "before": accuracy(before).as_dict() if before else None,
        "target_before": accuracy(target).as_dict(),
        "recovered": share.as_dict() if share else None,
        "accuracy_with_used": accuracy(everything).as_dict() if len(everything) > len(after) else None,
        "chance": _chance(rows, side),
        "enough": len({fact for fact, _ in after.values()}) >= FEW_FACTS,
    }


def _above_gold(rows: Sequence[Row], plain: Sequence[Row], side: str, compared: str) -> dict[str, Any] | None:
    after, before, _ = _sheets(rows, plain, "unlearned", side, compared)
    gold_after, gold_before, _ = _sheets(rows, plain, "gold", side, compared)
    gain = above_gold(after, before, gold_after, gold_before)
    return gain.as_dict() if gain else None


def _sheets(
    rows: Sequence[Row], plain: Sequence[Row], model: str, side: str, compared: str
) -> tuple[Sheet, Sheet, Sheet]:
    """One model's answers under the attack and before it, and the target's before it. All are about the same facts."""
    after = sheet((row for row in rows if not row["used"]), model, side)
    earlier = comparable(plain, after, compared)
    target = sheet(earlier, "target", side)
    # A fact that has held-out phrasings only has nothing to be compared with, and is left out.
    common = {fact for fact, _ in target.values()}
    return {name: pair for name, pair in after.items() if pair[0] in common}, sheet(earlier, model, side), target


def comparable(plain: Iterable[Row], after: Sheet, compared: str) -> list[Row]:
    """The rows without an attack that `after` is compared with.

    These are about the ``same`` items, or about the same facts in ``trained`` phrasings.
    """
    facts = {fact for fact, _ in after.values()}
    if compared == "same":
        return [row for row in plain if row["id"] in after]
    return [row for row in plain if row["fact"] in facts and not row["heldout"]]


def _chance(rows: Iterable[Row], side: str) -> float | None:
    """The mean chance level of one side; None without rows."""
    chances = [row["chance"] for row in rows if row["side"] == side and not row["used"]]
    return fmean(chances) if chances else None


def is_blind(retain: Mapping[str, Any]) -> bool:
    """Whether an attack is blind: under it the model is no better than chance even on the retain side.

    A blind attack cannot tell forgotten knowledge from knowledge that it fails to see.

    Args:
        retain: the unlearned model's outcome on the retain side, from robustness.json.
    """
    value, low, chance = retain["accuracy"]["value"], retain["accuracy"]["low"], retain["chance"]
    return chance is None or (value if low is None else low) <= chance
