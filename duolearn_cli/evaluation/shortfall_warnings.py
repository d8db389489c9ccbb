"""Flags of what falls short, on intervals: too little forgotten or kept, a target that knew little, another chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from duolearn_cli.evaluation.warning_text import WORDS, Asked, Flag, Model, bounds, has_enough, interval, percent

# Less of the way from the target to not knowing is too little forgotten, less of its retain accuracy too little kept.
FORGOTTEN, KEPT = 0.9, 0.9
# A target that is less of the way from not knowing to knowing all hardly knows the items.
HALF_KNOWN = 0.5
# A target that answers so many items as it was trained has learned.
BY_HEART = 0.9


def too_little(after: Model, gold: Model) -> Iterator[Flag]:
    """What falls short of the two aims, beyond its interval: the other way round from what is overdone."""
    scores = after.get("scores", {})
    forgotten, kept, area = (
        scores.get(key) for key in ("chance_corrected_forgetting", "knowledge_preservation", "mia_auc")
    )
    if _is_under(forgotten, FORGOTTEN):
        yield Flag(
            f"Too little is forgotten: {interval(forgotten)} of the way from the target's forget accuracy to that "
            "without knowledge; 100 % is the aim.",
            ("forgetting_rate", "chance_corrected_forgetting"),
        )
    if _is_under(kept, KEPT):
        yield Flag(
            f"Too much is lost: {interval(kept)} of the target's accuracy on retain items is kept (KPR).",
            ("knowledge_preservation",),
        )
    if has_enough(area) and bounds(area)[0] > 0.5:
        never = (gold.get("scores") or {}).get("mia_auc")
        beside = f"; gold's is {never['value']:.2f}" if never else ""
        yield Flag(
            f"The loss attack's AUC is {area['value']:.2f}, above 0.5: forget items can still be told from items that "
            f"were never learned by their low loss{beside}.",
            ("mia_auc", "mia_score"),
        )


def hardly_known(target: Model, chance: float, asked: Asked) -> Iterator[Flag]:
    """A target that is less than half of the way from not knowing the forget items to knowing all."""
    known = target["scores"]["forget_accuracy"] if target else None
    floor = asked.floor.get("rate", chance)
    if has_enough(known) and bounds(known)[1] < floor + HALF_KNOWN * (1 - floor):
        yield Flag(_why_little(target, floor, asked), ("chance_corrected_forgetting",))


def _why_little(target: Model, floor: float, asked: Asked) -> str:
    """Learning longer helps a target that has not learned yet, and no target that has learned by heart."""
    trained = (target.get("splits", {}).get("forget_train") or {}).get("accuracy")
    if not trained or trained["value"] < BY_HEART:
        return (
            "The target model hardly knows the forget items, so there is little to forget: it answers "
            f"{interval(target['scores']['forget_accuracy'])}, {100 * floor:.1f} % needing no knowledge. Learn longer."
        )
    words = WORDS[asked.heldout]
    mend = {
        "phrasings": "train on more phrasings of each fact (rows with the same dataset.fields.fact)",
        "orders": "ask for the answer's text (prompt.form=cloze), or train on more phrasings of each fact",
    }
    return (
        f"The target model has learned the forget items by heart: it answers {percent(trained)} with {words[0]}, "
        f"and with {words[1]} {percent(target['splits']['forget_heldout']['accuracy'])}. To learn longer would not "
        f"help; {mend.get(asked.heldout, mend['orders'])}."
    )


def other_chance(gold: Model, chance: float, asked: Asked) -> Iterator[Flag]:
    """Where an answer without knowledge is right more or less often than one in as many as there are options."""
    never = (gold.get("scores") or {}).get("forget_accuracy")
    if asked.floor.get("source") == "gold" and never:
        cut = round(100 * asked.floor.get("cut", 0.0))
        because = f" {cut} % of them have a wrong option that is right for an item that is kept." if cut else ""
        yield Flag(
            f"Chance on forget items is not 1 / number of options ({100 * chance:.1f} %): gold, which never learned "
            f"them, answers {interval(never)}.{because} Chance-corrected forgetting, HMTA and the warning of avoided "
            "answers go by gold's answers.",
            ("forgetting_rate",),
        )
    given_away = asked.by_options.get("forget")
    if has_enough(given_away) and given_away["above_chance"]:
        yield Flag(
            f"The options give answers away: a classifier that never sees the question answers {interval(given_away)} "
            f"of the forget items, where chance is {100 * chance:.1f} %.",
            ("chance_corrected_forgetting",),
        )
    for side, measure in (("forget", "forget_heldout"), ("retain", "retain_heldout")):
        placed = asked.by_place.get(side)
        if has_enough(placed) and placed["above_chance"]:
            yield Flag(
                f"The place gives answers away: on held-out askings of {side} items the right option is never where it "
                f"was in training, so that who remembers the places and nothing else answers {percent(placed)}.",
                (measure,),
            )


def _is_under(estimate: Mapping[str, Any] | None, least: float) -> bool:
    """The whole interval lies below, of enough facts."""
    return has_enough(estimate) and bounds(estimate)[1] < least
