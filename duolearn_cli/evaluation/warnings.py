"""What a reader must see before the numbers: over-unlearning, blind spots, failed premises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from duolearn_cli.evaluation.shortfall_warnings import hardly_known, other_chance, too_little
from duolearn_cli.evaluation.warning_text import WORDS, Asked, Flag, Model, bounds, has_enough, is_below, percent

# Retain answers that are as good as a draw; a place among the options that is answered this much oftener than right.
UNIFORM, ONE_PLACE = 0.99, 0.1
# How much more often than before unlearning answers are invalid, or texts degenerate.
MORE_OFTEN = 0.2
# Smaller gaps need no warning, however narrow the intervals: between parts of a mean, between ranking and saying.
PARTS_APART, SAID_APART = 0.05, 0.1


def flags(
    metrics: Mapping[str, Any], chance: float, check: Mapping[str, Any] | None = None, asked: Asked | None = None
) -> list[Flag]:
    """The flags of a run from its models' entries (metrics.json, `models`) and the self-check of the attacks.

    `chance` is the mean of 1 / number of options over forget items.
    """
    target, gold, after = (metrics.get(name, {}) for name in ("target", "gold", "unlearned"))
    asked = asked or Asked()
    found = [
        *_avoided(after, chance, asked),
        *too_little(after, gold),
        *_collapsed(target, after),
        *_unsaid(target, gold, after),
        *_parts_apart(target, after, chance, asked),
        *_premises(target, chance, check, asked),
        *other_chance(gold, chance, asked),
    ]
    return found


def _avoided(after: Model, chance: float, asked: Asked) -> Iterator[Flag]:
    scores = after.get("scores", {})
    left, forgotten = (scores.get(key) for key in ("forget_accuracy", "chance_corrected_forgetting"))
    by_gold = asked.floor.get("source") == "gold"
    # Gold errs too: forgetting against it, answer by answer, has both in its interval.
    if by_gold and has_enough(forgotten) and forgotten["low"] is not None and forgotten["low"] > 1:
        yield Flag(
            f"Forget accuracy is {percent(left)}, below that of gold, which never learned the items "
            f"({100 * asked.floor['rate']:.1f} %): right answers are avoided, which is not the same as unknown.",
            ("forgetting_rate", "chance_corrected_forgetting"),
        )
    elif not by_gold and has_enough(left) and left["high"] is not None and left["high"] < chance:
        yield Flag(
            "Forget accuracy is below chance: right answers are avoided, which is not the same as unknown.",
            ("forgetting_rate", "chance_corrected_forgetting"),
        )
    area = scores.get("mia_auc")
    if has_enough(area) and bounds(area)[1] < 0.5:
        yield Flag(
            "The loss attack's AUC is below 0.5: forget items stand out by their high loss (over-unlearning).",
            ("mia_auc", "mia_score"),
        )
    below = [
        name
        for name, values in after.get("membership", {}).items()
        # Any of several attacks: by the intervals that hold for all of them together, where there are those.
        for area in [values.get("auc_together") or values["auc"]]
        if name != "loss" and has_enough(area) and bounds(area)[1] < 0.5
    ]
    if below:
        yield Flag(
            f"Other attacks tell forget items by what looks too unlikely, with an AUC below 0.5: {', '.join(below)}.",
            tuple(f"mia_{name}" for name in below),
        )


def _collapsed(target: Model, after: Model) -> Iterator[Flag]:
    kept, kept_before = (_side(model, "calibration", "retain") for model in (after, target))
    if kept and kept_before and kept["entropy"]["value"] > UNIFORM > kept_before["entropy"]["value"]:
        yield Flag(
            "On retain items all options have become equally likely (uniform collapse): the model has stopped telling "
            "them apart, whatever its accuracy.",
            ("retain_entropy", "knowledge_preservation"),
        )
    for side, measure in (("forget", "forgetting_rate"), ("retain", "knowledge_preservation")):
        own = _side(after, "calibration", side)
        surplus = own.get("favourite_place")
        if has_enough(surplus) and bounds(surplus)[0] > ONE_PLACE:
            now, right = own["positions"], own["right_positions"]
            shares = dict(enumerate(right))
            place = max(range(len(now)), key=lambda k: now[k] - shares.get(k, 0.0))
            usual = shares.get(place, 0.0)
            yield Flag(
                f"Option {place + 1} is the answer to {100 * now[place]:.0f} % of the {side} items (it is right in "
                f"{100 * usual:.0f} %): the model answers a place, not a question.",
                (f"{side}_position_bias", measure),
            )
        bad, bad_before = (_side(model, "written", side).get("degenerate") for model in (after, target))
        if bad and bad_before and bad["value"] > bad_before["value"] + MORE_OFTEN:
            yield Flag(
                f"In its own words the model answers {100 * bad['value']:.0f} % of the {side} items with nothing, or "
                "with one thing over and over (degenerate text).",
                (f"{side}_degenerate", measure),
            )


def _unsaid(target: Model, gold: Model, after: Model) -> Iterator[Flag]:
    """What the model says of itself, token by token, beside how it ranks the options."""
    own = after.get("scores", {})
    # Of what was never learned a model may say anything: gold is the measure. What is kept the target knew.
    for side, name in (("forget", "gold" if gold else "target"), ("retain", "target")):
        key = f"{side}_invalid_rate"
        now, usual = own.get(key), (gold if name == "gold" else target).get("scores", {}).get(key)
        if now and usual and now["value"] > usual["value"] + MORE_OFTEN:
            yield Flag(
                f"On {side} items {percent(now)} of the answers that the model gives of itself are none of the "
                f"options; {name} has {percent(usual)}.",
                (key,),
            )
    ranked, said = own.get("knowledge_preservation"), own.get("retain_recall_share")
    if has_enough(ranked) and has_enough(said) and is_below(said, ranked, SAID_APART):
        before, never = (model.get("scores", {}).get("retain_recall") for model in (target, gold))
        beside = f", gold {percent(never)}" if never else ""
        yield Flag(
            f"Ranking and saying disagree on retain items: KPR, which ranks the options, is {percent(ranked)}, but of "
            f"the answers that the target gives of itself the model gives {percent(said)} (recall "
            f"{percent(own['retain_recall'])}, target {percent(before)}{beside}).",
            ("retain_recall", "retain_recall_share", "knowledge_preservation"),
        )


def _parts_apart(target: Model, after: Model, chance: float, asked: Asked) -> Iterator[Flag]:
    """FR and KPR are means over trained and held-out askings: a warning where these say different things."""
    trained, heldout = WORDS[asked.heldout]
    sides = (
        (
            "forget",
            asked.floor.get("rate", chance),
            "FR and chance-corrected forgetting",
            ("forgetting_rate", "chance_corrected_forgetting"),
        ),
        ("retain", chance if asked.retain_chance is None else asked.retain_chance, "KPR", ("knowledge_preservation",)),
    )
    for side, guess, names, measures in sides:
        apart = [
            f"{name} {said}"
            for name, model in (("target", target), ("unlearned", after))
            if after and (said := _apart(model, side, guess))
        ]
        if apart:
            yield Flag(
                f"Accuracy on {side} items differs between {trained} and {heldout} ({'; '.join(apart)}): {names} "
                f"{'average' if ' and ' in names else 'averages'} the two; read the two rows of accuracy instead.",
                (*measures, f"{side}_heldout"),
            )


def _apart(model: Model, side: str, chance: float) -> str | None:
    """Both parts' accuracy where they disagree beyond their intervals, or one is below chance and the other is not."""
    own = model.get("splits", {})
    trained, heldout = ((own.get(f"{side}_{part}") or {}).get("accuracy") for part in ("train", "heldout"))
    if not has_enough(trained) or not has_enough(heldout):
        return None
    low, high = sorted((trained, heldout), key=lambda one: one["value"])
    avoided = bounds(heldout)[1] < chance <= trained["value"]
    if not avoided and not is_below(low, high, PARTS_APART):
        return None
    below = f", below chance ({100 * chance:.0f} %)" if avoided else ""
    return f"{percent(trained)} and {percent(heldout)}{below}"


def _premises(target: Model, chance: float, check: Mapping[str, Any] | None, asked: Asked) -> Iterator[Flag]:
    yield from hardly_known(target, chance, asked)
    common = asked.majority.get("forget")
    if has_enough(common) and common["above_chance"]:
        yield Flag(
            f"One answer, {common['answer']}, is right for {percent(common)} of the forget items, where chance is "
            f"{100 * chance:.0f} %: a model that says nothing else seems to know them. See forgetting measured from "
            "that rate instead of chance.",
            ("chance_corrected_forgetting", "forgetting_above_majority"),
        )
    if check and check["usable"] is False:
        seeing = [name for name, one in check["attacks"].items() if one["seen"]]
        yield Flag(
            f"The membership split is unusable: {', '.join(seeing)} tell members from non-members on the "
            f"{check['model']} model, which has seen neither, so the two differ in themselves. Take non-members of the "
            "same kind (split.unseen_fraction), or leave the attacks out of account.",
            ("mia_auc", "mia_score", *(f"mia_{name}" for name in seeing if name != "loss")),
        )


def _side(model: Model, part: str, side: str) -> Mapping[str, Any]:
    return (model.get(part) or {}).get(side) or {}


def flagged(found: Sequence[Flag]) -> list[str]:
    """The measures that some flag casts doubt on."""
    return sorted({measure for flag in found for measure in flag.measures})
