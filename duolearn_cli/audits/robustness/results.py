"""From the rows of robustness.jsonl to robustness.json: every figure can be computed again from the rows alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from duolearn_cli.audits.robustness.attack import Attack, Skipped
from duolearn_cli.audits.robustness.material import SIDES
from duolearn_cli.audits.robustness.recovery import Sheet, above_gold, accuracy, recovered, sheet
from duolearn_cli.evaluation.metrics.intervals import FEW_FACTS

NONE = "none"

Row = Mapping[str, Any]


def summarise(rows: Iterable[Row], attacks: Sequence[Attack], skipped: Sequence[Skipped]) -> dict[str, Any]:
    """`before` by model and side, and `attacks`: one entry each, by model and side; `skipped` with reasons."""
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
    return list(dict.fromkeys(row["model"] for row in rows))


def _entry(attack: Attack, rows: Sequence[Row], plain: Sequence[Row]) -> dict[str, Any]:
    models = _models(rows)
    outcomes = {model: {side: _outcome(rows, plain, model, side, attack.before) for side in SIDES} for model in models}
    return {
        "attack": attack.name,
        "variant": attack.variant,
        "phrasings": attack.phrasings,
        "compared_with": attack.before,
        "details": dict(attack.details),
        "models": outcomes,
        "above_gold": {side: _above_gold(rows, plain, side, attack.before) for side in SIDES},
        "blind": is_blind(outcomes["unlearned"]["retain"]),
    }


def _outcome(rows: Sequence[Row], plain: Sequence[Row], model: str, side: str, compared: str) -> dict[str, Any]:
    """Accuracy under the attack and before it, and the share recovered of what this model does not know."""
    after, before, target = _sheets(rows, plain, model, side, compared)
    everything = sheet(rows, model, side)
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
    found = above_gold(after, before, gold_after, gold_before)
    return found.as_dict() if found else None


def _sheets(
    rows: Sequence[Row], plain: Sequence[Row], model: str, side: str, compared: str
) -> tuple[Sheet, Sheet, Sheet]:
    """One model's answers under the attack and before it, and the target's before it, all about the same facts."""
    after = sheet((row for row in rows if not row["used"]), model, side)
    earlier = comparable(plain, after, compared)
    target = sheet(earlier, "target", side)
    known = {fact for fact, _ in target.values()}
    return {name: pair for name, pair in after.items() if pair[0] in known}, sheet(earlier, model, side), target


def comparable(plain: Iterable[Row], after: Sheet, compared: str) -> list[Row]:
    """The rows without an attack that `after` is compared with: its own items, or its facts in trained words."""
    facts = {fact for fact, _ in after.values()}
    if compared == "same":
        return [row for row in plain if row["id"] in after]
    return [row for row in plain if row["fact"] in facts and not row["heldout"]]


def _chance(rows: Iterable[Row], side: str) -> float | None:
    found = [row["chance"] for row in rows if row["side"] == side and not row["used"]]
    return fmean(found) if found else None


def is_blind(kept: Mapping[str, Any]) -> bool:
    """Whether under the attack the model is no better than chance even at what it was to keep.

    Such an attack cannot tell what is gone from what it cannot see. `kept` is the outcome on the retain side.
    """
    value, low, chance = kept["accuracy"]["value"], kept["accuracy"]["low"], kept["chance"]
    return chance is None or (value if low is None else low) <= chance
