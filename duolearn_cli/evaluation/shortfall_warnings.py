"""Warnings about shortfalls: too little forgotten or preserved, a target that knew little, a chance level that is off.

They go by whole intervals, and need `FEW_FACTS` facts: a value below a threshold is no warning by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from duolearn_cli.evaluation import advice
from duolearn_cli.evaluation.measures.central import (
    FORGET_ACCURACY,
    FORGETTING,
    FORGETTING_RATE,
    KEEPING,
    LOSS_AUC,
    LOSS_SCORE,
)
from duolearn_cli.evaluation.warning_text import WORDS, Context, Flag, Model, bounds, has_enough, interval, percent

# Below these, too little is forgotten (chance-corrected forgetting), or too little preserved (KPR).
FORGOTTEN, PRESERVED = 0.9, 0.9
# A target below this share of the range from knowing nothing to knowing everything hardly knows the items.
HALF_KNOWN = 0.5
# A target with this accuracy on trained phrasings has learned them.
BY_HEART = 0.9


def too_little(after: Model, gold: Model) -> Iterator[Flag]:
    """Too little is forgotten, too little is preserved, or forget items are still recognised."""
    forgotten, preserved, area = (measure.find(after) for measure in (FORGETTING, KEEPING, LOSS_AUC))
    if _is_under(forgotten, FORGOTTEN):
        yield Flag(
            f"Too little is forgotten: {interval(forgotten)} of the way from the target's forget accuracy to the "
            "accuracy without knowledge; the aim is 100 %.",
            (FORGETTING_RATE.key, FORGETTING.key),
            advice.MORE,
        )
    if _is_under(preserved, PRESERVED):
        yield Flag(
            f"Too much is lost: {interval(preserved)} of the target's accuracy on retain items is preserved "
            f"({KEEPING.name}).",
            (KEEPING.key,),
            advice.GENTLER,
        )
    if has_enough(area) and bounds(area)[0] > 0.5:
        never = LOSS_AUC.find(gold)
        beside = f"; gold's is {never['value']:.2f}" if never else ""
        yield Flag(
            f"The loss attack's AUC is {area['value']:.2f}, above 0.5: their low loss still distinguishes forget items "
            f"from items that were never learned{beside}.",
            (LOSS_AUC.key, LOSS_SCORE.key),
            advice.MORE,
        )


def hardly_known(target: Model, chance: float, context: Context) -> Iterator[Flag]:
    """The target knows less than half of what there is to know about the forget items."""
    known = FORGET_ACCURACY.find(target) if target else None
    floor = context.floor.get("rate", chance)
    if has_enough(known) and bounds(known)[1] < floor + HALF_KNOWN * (1 - floor):
        yield Flag(_why_little(target, floor, context), (FORGETTING.key,), advice.LEARN)


def _why_little(target: Model, floor: float, context: Context) -> str:
    """The sentence about a target that knows little, with the fix.

    Longer training helps a target that has not learned yet, but not one that has learned its phrasings by heart.
    """
    trained = (target.get("splits", {}).get("forget_train") or {}).get("accuracy")
    if not trained or trained["value"] < BY_HEART:
        return (
            "The target model hardly knows the forget items, so there is little to forget: it answers "
            f"{interval(FORGET_ACCURACY.find(target))}, and {100 * floor:.1f} % need no knowledge. Learn longer."
        )
    words = WORDS[context.heldout]
    fixes = {
        "phrasings": "train on more phrasings of each fact (rows with the same dataset.fields.fact)",
        "orders": "ask for the answer's text (prompt.form=cloze), or train on more phrasings of each fact",
    }
    return (
        f"The target model has learned the forget items by heart: it answers {percent(trained)} with {words[0]}, "
        f"and {percent(target['splits']['forget_heldout']['accuracy'])} with {words[1]}. Learning longer would not "
        f"help; {fixes.get(context.heldout, fixes['orders'])}."
    )


def other_chance(gold: Model, chance: float, context: Context) -> Iterator[Flag]:
    """Chance is not 1 / number of options, or the options or their positions give answers away."""
    never = FORGET_ACCURACY.find(gold)
    if context.floor.get("source") == "gold" and never:
        cut = round(100 * context.floor.get("cut", 0.0))
        because = f" {cut} % of them have a wrong option that is right for a retained item." if cut else ""
        yield Flag(
            f"Chance on forget items is not 1 / number of options ({100 * chance:.1f} %): gold, which never learned "
            f"them, answers {interval(never)}.{because} Chance-corrected forgetting, HMTA and the warning about "
            "avoided answers use gold's answers instead.",
            (FORGETTING_RATE.key,),
            advice.BY_GOLD,
        )
    given_away = context.by_options.get("forget")
    if has_enough(given_away) and given_away["above_chance"]:
        yield Flag(
            f"The options give answers away: a classifier that never sees the question answers {interval(given_away)} "
            f"of the forget items, where chance is {100 * chance:.1f} %.",
            (FORGETTING.key,),
            advice.OPTIONS,
        )
    for side, measure in (("forget", "forget_heldout"), ("retain", "retain_heldout")):
        placed = context.by_place.get(side)
        if has_enough(placed) and placed["above_chance"]:
            yield Flag(
                f"The position gives answers away: in held-out {side} items the right option is never where it was in "
                f"training, so that a model that remembers only the positions answers {percent(placed)}.",
                (measure,),
                advice.PLACES,
            )


def _is_under(estimate: Mapping[str, Any] | None, least: float) -> bool:
    """Whether the whole interval lies below `least`, over enough facts."""
    return has_enough(estimate) and bounds(estimate)[1] < least
