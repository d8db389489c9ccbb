"""What a reader must see before the numbers: over-unlearning, blind spots, failed premises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Retain answers that are as good as a draw, and a place among the options that is chosen whatever is asked.
UNIFORM, ONE_PLACE = 0.99, 0.8
# How much more often than before unlearning answers are invalid, or texts degenerate.
MORE_OFTEN = 0.2


@dataclass(frozen=True, slots=True)
class Flag:
    """A sentence for the reader, and the measures (keys of `report.tables.MEASURES`) that it casts doubt on."""

    sentence: str
    measures: tuple[str, ...] = ()


def flags(metrics: Mapping[str, Any], chance: float, check: Mapping[str, Any] | None = None) -> list[Flag]:
    """The flags of a run from its models' entries (metrics.json, `models`) and the self-check of the attacks."""
    target, after = metrics.get("target", {}), metrics.get("unlearned", {})
    found = [*_avoided(after, chance), *_collapsed(target, after), *_premises(target, check)]
    return found


def _avoided(after: Mapping[str, Any], chance: float) -> Iterator[Flag]:
    scores = after.get("scores", {})
    left = scores.get("forget_accuracy")
    if left and left["high"] is not None and left["high"] < chance:
        yield Flag(
            "Forget accuracy is below chance: right answers are avoided, which is not the same as unknown.",
            ("forgetting_rate", "chance_corrected_forgetting"),
        )
    area = scores.get("mia_auc")
    if area and area["value"] < 0.5 and (area["high"] is None or area["high"] < 0.5):
        yield Flag(
            "The loss attack's AUC is below 0.5: forget items stand out by their high loss (over-unlearning).",
            ("mia_auc", "mia_score"),
        )
    others = after.get("membership", {})
    below = [
        name
        for name, values in others.items()
        if name != "loss" and values["auc"]["high"] is not None and values["auc"]["high"] < 0.5
    ]
    if below:
        yield Flag(
            f"Other attacks tell forget items by what looks too unlikely, with an AUC below 0.5: {', '.join(below)}.",
            ("mia_auc",),
        )


def _collapsed(target: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Flag]:
    invalid, before = after.get("scores", {}).get("invalid_rate"), target.get("scores", {}).get("invalid_rate")
    if invalid and before and invalid["value"] > before["value"] + MORE_OFTEN:
        yield Flag("Many answers are none of the options any more: see the invalid-answer rate.", ("invalid_rate",))
    kept, kept_before = (_side(model, "calibration", "retain") for model in (after, target))
    if kept and kept_before and kept["entropy"]["value"] > UNIFORM > kept_before["entropy"]["value"]:
        yield Flag(
            "On retain items all options have become equally likely (uniform collapse): the model has stopped telling "
            "them apart, whatever its accuracy.",
            ("knowledge_preservation",),
        )
    for side in ("forget", "retain"):
        now, right = (_side(after, "calibration", side).get(key) or [0.0] for key in ("positions", "right_positions"))
        place = max(range(len(now)), key=now.__getitem__)
        usual = right[place] if place < len(right) else 0.0
        if now[place] > ONE_PLACE > usual + MORE_OFTEN:
            yield Flag(
                f"Option {place + 1} is the answer to {100 * now[place]:.0f} % of the {side} items (it is right in "
                f"{100 * usual:.0f} %): the model answers a place, not a question.",
                ("forgetting_rate" if side == "forget" else "knowledge_preservation",),
            )
    for side, measure in (("forget", "forgetting_rate"), ("retain", "knowledge_preservation")):
        bad, bad_before = (_side(model, "written", side).get("degenerate") for model in (after, target))
        if bad and bad_before and bad["value"] > bad_before["value"] + MORE_OFTEN:
            yield Flag(
                f"In its own words the model answers {100 * bad['value']:.0f} % of the {side} items with nothing, or "
                "with one thing over and over (degenerate text).",
                (measure,),
            )


def _premises(target: Mapping[str, Any], check: Mapping[str, Any] | None) -> Iterator[Flag]:
    if target and target["scores"]["forget_accuracy"]["value"] < 0.6:
        yield Flag(
            "The target model hardly knows the forget items, so there is little to forget: learn longer.",
            ("chance_corrected_forgetting",),
        )
    if check and not check["usable"]:
        seeing = [name for name, one in check["attacks"].items() if not one["blind"]]
        yield Flag(
            f"The membership split is unusable: {', '.join(seeing)} tell members from non-members on the "
            f"{check['model']} model, which has seen neither, so the two differ in themselves. Take non-members of the "
            "same kind (split.unseen_fraction), or leave the attacks out of account.",
            ("mia_auc", "mia_score"),
        )


def _side(model: Mapping[str, Any], part: str, side: str) -> Mapping[str, Any]:
    return (model.get(part) or {}).get(side) or {}


def flagged(found: Sequence[Flag]) -> list[str]:
    """The measures that some flag casts doubt on."""
    return sorted({measure for flag in found for measure in flag.measures})
