"""What a reader must see before the numbers: over-unlearning, blind spots, failed premises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Model = Mapping[str, Any]

# Retain answers that are as good as a draw, and a place among the options that is chosen whatever is asked.
UNIFORM, ONE_PLACE = 0.99, 0.8
# How much more often than before unlearning answers are invalid, or texts degenerate.
MORE_OFTEN = 0.2
# A target that answers fewer forget items hardly knows them; one that answers so many as it was trained has learned.
HARDLY, BY_HEART = 0.6, 0.9
# Smaller gaps need no warning, however narrow the intervals: between parts of a mean, between ranking and saying.
PARTS_APART, SAID_APART = 0.05, 0.1
# Fewer items carry no claim.
FEW_ITEMS = 30
# How the two kinds of askings are called, by what the held-out ones are.
WORDS = {
    "phrasings": ("trained phrasings", "held-out phrasings"),
    "orders": ("options in the trained order", "options in another order"),
    "both": ("trained askings", "held-out phrasings or option orders"),
}


@dataclass(frozen=True, slots=True)
class Flag:
    """A sentence for the reader, and the measures (keys of `report.measures.MEASURES`) that it casts doubt on."""

    sentence: str
    measures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What the items were like.

    Attributes:
        heldout: what the held-out askings are, a key of `WORDS`.
        retain_chance: mean of 1 / number of options over retain items; None: as for forget items.
        majority: by side the share of items that the commonest answer is right for, as in metrics.json.
    """

    heldout: str = "phrasings"
    retain_chance: float | None = None
    majority: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def flags(
    metrics: Mapping[str, Any], chance: float, check: Mapping[str, Any] | None = None, asked: Asked | None = None
) -> list[Flag]:
    """The flags of a run from its models' entries (metrics.json, `models`) and the self-check of the attacks.

    `chance` is the mean of 1 / number of options over forget items.
    """
    target, gold, after = (metrics.get(name, {}) for name in ("target", "gold", "unlearned"))
    asked = asked or Asked()
    found = [
        *_avoided(after, chance),
        *_collapsed(target, after),
        *_unsaid(target, gold, after),
        *_parts_apart(target, after, chance, asked),
        *_premises(target, chance, check, asked),
    ]
    return found


def _avoided(after: Model, chance: float) -> Iterator[Flag]:
    scores = after.get("scores", {})
    left = scores.get("forget_accuracy")
    if left and left["high"] is not None and left["high"] < chance:
        yield Flag(
            "Forget accuracy is below chance: right answers are avoided, which is not the same as unknown.",
            ("forgetting_rate", "chance_corrected_forgetting"),
        )
    area = scores.get("mia_auc")
    if area and _bounds(area)[1] < 0.5:
        yield Flag(
            "The loss attack's AUC is below 0.5: forget items stand out by their high loss (over-unlearning).",
            ("mia_auc", "mia_score"),
        )
    below = [
        name
        for name, values in after.get("membership", {}).items()
        # Any of several attacks: by the intervals that hold for all of them together, where there are those.
        if name != "loss" and _bounds(values.get("auc_together") or values["auc"])[1] < 0.5
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
        now, right = (_side(after, "calibration", side).get(key) or [0.0] for key in ("positions", "right_positions"))
        place = max(range(len(now)), key=now.__getitem__)
        usual = right[place] if place < len(right) else 0.0
        if now[place] > ONE_PLACE > usual + MORE_OFTEN:
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
                f"On {side} items {_percent(now)} of the answers that the model gives of itself are none of the "
                f"options; {name} has {_percent(usual)}.",
                (key,),
            )
    ranked, said = own.get("knowledge_preservation"), own.get("retain_recall_share")
    if ranked and said and min(ranked["n"], said["n"]) >= FEW_ITEMS and _is_below(said, ranked, SAID_APART):
        before, never = (model.get("scores", {}).get("retain_recall") for model in (target, gold))
        beside = f", gold {_percent(never)}" if never else ""
        yield Flag(
            f"Ranking and saying disagree on retain items: KPR, which ranks the options, is {_percent(ranked)}, but of "
            f"the answers that the target gives of itself the model gives {_percent(said)} (recall "
            f"{_percent(own['retain_recall'])}, target {_percent(before)}{beside}).",
            ("retain_recall", "retain_recall_share", "knowledge_preservation"),
        )


def _parts_apart(target: Model, after: Model, chance: float, asked: Asked) -> Iterator[Flag]:
    """FR and KPR are means over trained and held-out askings: a warning where these say different things."""
    trained, heldout = WORDS[asked.heldout]
    sides = (
        ("forget", chance, "FR and chance-corrected forgetting", ("forgetting_rate", "chance_corrected_forgetting")),
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
    if not trained or not heldout or min(trained["n"], heldout["n"]) < FEW_ITEMS:
        return None
    low, high = sorted((trained, heldout), key=lambda one: one["value"])
    avoided = _bounds(heldout)[1] < chance <= trained["value"]
    if not avoided and not _is_below(low, high, PARTS_APART):
        return None
    below = f", below chance ({100 * chance:.0f} %)" if avoided else ""
    return f"{_percent(trained)} and {_percent(heldout)}{below}"


def _premises(target: Model, chance: float, check: Mapping[str, Any] | None, asked: Asked) -> Iterator[Flag]:
    if target and target["scores"]["forget_accuracy"]["value"] < HARDLY:
        yield Flag(_hardly_known(target, asked), ("chance_corrected_forgetting",))
    common = asked.majority.get("forget")
    if common and common["above_chance"]:
        yield Flag(
            f"One answer, {common['answer']}, is right for {_percent(common)} of the forget items, where chance is "
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


def _hardly_known(target: Model, asked: Asked) -> str:
    """Learning longer helps a target that has not learned yet, and no target that has learned by heart."""
    trained = (target.get("splits", {}).get("forget_train") or {}).get("accuracy")
    if not trained or trained["value"] < BY_HEART:
        return "The target model hardly knows the forget items, so there is little to forget: learn longer."
    words = WORDS[asked.heldout]
    mend = {
        "phrasings": "train on more phrasings of each fact (rows with the same dataset.fields.fact)",
        "orders": "ask for the answer's text (prompt.form=cloze), or train on more phrasings of each fact",
    }
    return (
        f"The target model has learned the forget items by heart: it answers {_percent(trained)} with {words[0]}, "
        f"and with {words[1]} {_percent(target['splits']['forget_heldout']['accuracy'])}. To learn longer would not "
        f"help; {mend.get(asked.heldout, mend['orders'])}."
    )


def _is_below(one: Mapping[str, Any], other: Mapping[str, Any], least: float) -> bool:
    """One estimate is below another by more than both intervals, and by more than `least`."""
    return _bounds(one)[1] < _bounds(other)[0] and other["value"] - one["value"] > least


def _bounds(estimate: Mapping[str, Any]) -> tuple[float, float]:
    """Both ends of the interval; the value where all items agree, so that there is none."""
    low, high = (estimate["value"] if estimate[key] is None else estimate[key] for key in ("low", "high"))
    return low, high


def _percent(estimate: Mapping[str, Any] | None) -> str:
    return "— %" if not estimate else f"{100 * estimate['value']:.1f} %"


def _side(model: Model, part: str, side: str) -> Mapping[str, Any]:
    return (model.get(part) or {}).get(side) or {}


def flagged(found: Sequence[Flag]) -> list[str]:
    """The measures that some flag casts doubt on."""
    return sorted({measure for flag in found for measure in flag.measures})
