"""Warnings that a reader must see before the numbers: over-unlearning, blind spots of measures, failed assumptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from duolearn_cli.evaluation import advice
from duolearn_cli.evaluation.measures.central import (
    ABOVE_MAJORITY,
    FORGET_ACCURACY,
    FORGETTING,
    FORGETTING_RATE,
    KEEPING,
    LOSS_AUC,
    LOSS_SCORE,
    RECALL_SHARE,
    RETAIN_RECALL,
)
from duolearn_cli.evaluation.measures.membership import of_attack
from duolearn_cli.evaluation.shortfall_warnings import hardly_known, other_chance, too_little
from duolearn_cli.evaluation.warning_text import WORDS, Context, Flag, Model, bounds, has_enough, is_below, percent

# Above this normalised entropy, the options are practically equally likely.
UNIFORM = 0.99
# A position that is chosen more often than it is right by more than this share is a preference for a position.
ONE_PLACE = 0.1
# How much more often than before unlearning answers may be invalid, or texts degenerate.
MORE_OFTEN = 0.2
# Smaller gaps need no warning, however narrow the intervals: between trained and held-out accuracy, and between ranking
# and recall.
PARTS_APART, SAID_APART = 0.05, 0.1


def flags(
    metrics: Mapping[str, Any],
    chance: float,
    check: Mapping[str, Any] | None = None,
    context: Context | None = None,
) -> list[Flag]:
    """The warnings of a run.

    Args:
        metrics: the models' entries of metrics.json (`models`).
        chance: the mean of 1 / number of options over forget items.
        check: the `membership_check` of metrics.json.
        context: what is known about the items.
    """
    target, gold, after = (metrics.get(name, {}) for name in ("target", "gold", "unlearned"))
    context = context or Context()
    return [
        *_avoided(after, chance, context),
        *too_little(after, gold),
        *_collapsed(target, after),
        *_unsaid(target, gold, after),
        *_parts_apart(target, after, chance, context),
        *_premises(target, chance, check, context),
        *other_chance(gold, chance, context),
    ]


def _avoided(after: Model, chance: float, context: Context) -> Iterator[Flag]:
    """Over-unlearning: right answers are less likely than for a model that never learned them."""
    accuracy, forgotten = FORGET_ACCURACY.find(after), FORGETTING.find(after)
    by_gold = context.floor.get("source") == "gold"
    # Gold's accuracy is uncertain too. The interval of forgetting against gold, answer by answer, covers both errors.
    if by_gold and has_enough(forgotten) and forgotten["low"] is not None and forgotten["low"] > 1:
        yield Flag(
            f"Forget accuracy is {percent(accuracy)}, below that of gold, which never learned the items "
            f"({100 * context.floor['rate']:.1f} %): right answers are avoided, which is not the same as unknown.",
            (FORGETTING_RATE.key, FORGETTING.key),
            advice.LESS,
        )
    elif not by_gold and has_enough(accuracy) and accuracy["high"] is not None and accuracy["high"] < chance:
        yield Flag(
            "Forget accuracy is below chance: right answers are avoided, which is not the same as unknown.",
            (FORGETTING_RATE.key, FORGETTING.key),
            advice.LESS,
        )
    area = LOSS_AUC.find(after)
    if has_enough(area) and bounds(area)[1] < 0.5:
        yield Flag(
            "The loss attack's AUC is below 0.5: forget items stand out by their high loss (over-unlearning).",
            (LOSS_AUC.key, LOSS_SCORE.key),
            advice.LESS,
        )
    below = [
        name
        for name, values in after.get("membership", {}).items()
        # One of several attacks is below 0.5 more easily than a single one: intervals for all attacks together decide,
        # if the run has them.
        for area in [values.get("auc_together") or values["auc"]]
        if name != "loss" and has_enough(area) and bounds(area)[1] < 0.5
    ]
    if below:
        yield Flag(
            f"Other attacks recognise forget items because they look too unlikely, with an AUC below 0.5: "
            f"{', '.join(below)}.",
            tuple(of_attack(name).key for name in below),
            advice.LESS,
        )


def _collapsed(target: Model, after: Model) -> Iterator[Flag]:
    """A broken model: it no longer distinguishes the options, prefers a position, or generates degenerate text."""
    now, before = (_side(model, "calibration", "retain") for model in (after, target))
    if now and before and now["entropy"]["value"] > UNIFORM > before["entropy"]["value"]:
        yield Flag(
            "On retain items all options have become equally likely (uniform collapse): the model no longer "
            "distinguishes them, whatever its accuracy.",
            ("retain_entropy", KEEPING.key),
            advice.BROKEN,
        )
    for side, measure in (("forget", FORGETTING_RATE.key), ("retain", KEEPING.key)):
        own = _side(after, "calibration", side)
        surplus = own.get("favourite_place")
        if has_enough(surplus) and bounds(surplus)[0] > ONE_PLACE:
            chosen, right = own["positions"], dict(enumerate(own["right_positions"]))
            position = max(range(len(chosen)), key=lambda k: chosen[k] - right.get(k, 0.0))
            yield Flag(
                f"Option {position + 1} is the answer to {100 * chosen[position]:.0f} % of the {side} items (it is "
                f"right in {100 * right.get(position, 0.0):.0f} %): the model prefers a position, whatever the "
                "question.",
                (f"{side}_position_bias", measure),
                advice.BROKEN,
            )
        bad, bad_before = (_side(model, "written", side).get("degenerate") for model in (after, target))
        if bad and bad_before and bad["value"] > bad_before["value"] + MORE_OFTEN:
            yield Flag(
                f"In its own words the model answers {100 * bad['value']:.0f} % of the {side} items with nothing, or "
                "with the same thing over and over (degenerate text).",
                (f"{side}_degenerate", measure),
                advice.BROKEN,
            )


def _unsaid(target: Model, gold: Model, after: Model) -> Iterator[Flag]:
    """What the model generates by itself, token by token, disagrees with how it ranks the options."""
    own = after.get("scores", {})
    # Forget items are compared with gold: a model may generate anything about what it never learned. Retain items are
    # compared with the target, which knew them.
    for side, name in (("forget", "gold" if gold else "target"), ("retain", "target")):
        key = f"{side}_invalid_rate"
        now, usual = own.get(key), (gold if name == "gold" else target).get("scores", {}).get(key)
        if now and usual and now["value"] > usual["value"] + MORE_OFTEN:
            yield Flag(
                f"On {side} items {percent(now)} of the answers that the model generates by itself are none of the "
                f"options; {name} has {percent(usual)}.",
                (key,),
                advice.SAID,
            )
    ranked, recalled = KEEPING.find(after), RECALL_SHARE.find(after)
    if has_enough(ranked) and has_enough(recalled) and is_below(recalled, ranked, SAID_APART):
        before, never = map(RETAIN_RECALL.find, (target, gold))
        beside = f", gold {percent(never)}" if never else ""
        yield Flag(
            f"Ranking and recall disagree on retain items: {KEEPING.name}, which ranks the options, is "
            f"{percent(ranked)}, but the model recalls only {percent(recalled)} of the answers that the target recalls "
            f"by itself (recall {percent(RETAIN_RECALL.find(after))}, target {percent(before)}{beside}).",
            (RETAIN_RECALL.key, RECALL_SHARE.key, KEEPING.key),
            advice.SAID,
        )


def _parts_apart(target: Model, after: Model, chance: float, context: Context) -> Iterator[Flag]:
    """Trained and held-out phrasings disagree, while FR and KPR average the two."""
    trained, heldout = WORDS[context.heldout]
    retain_chance = chance if context.retain_chance is None else context.retain_chance
    sides = (
        (
            "forget",
            context.floor.get("rate", chance),
            f"{FORGETTING_RATE.name} and {FORGETTING.name[0].lower()}{FORGETTING.name[1:]}",
            (FORGETTING_RATE.key, FORGETTING.key),
        ),
        ("retain", retain_chance, KEEPING.name, (KEEPING.key,)),
    )
    for side, guess, names, measures in sides:
        apart = [
            f"{name} {accuracies}"
            for name, model in (("target", target), ("unlearned", after))
            if after and (accuracies := _apart(model, side, guess))
        ]
        if apart:
            yield Flag(
                f"Accuracy on {side} items differs between {trained} and {heldout} ({'; '.join(apart)}): {names} "
                f"{'average' if ' and ' in names else 'averages'} the two; read the two rows of accuracy instead.",
                (*measures, f"{side}_heldout"),
                advice.READ_BOTH,
            )


def _apart(model: Model, side: str, chance: float) -> str | None:
    """Trained and held-out accuracy in words, if they disagree; else None.

    They disagree if their intervals do not overlap and the gap is not small, or if only the held-out one is below
    chance.
    """
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


def _premises(target: Model, chance: float, check: Mapping[str, Any] | None, context: Context) -> Iterator[Flag]:
    """Assumptions of the measures that do not hold: a target that knows, balanced answers, comparable non-members."""
    yield from hardly_known(target, chance, context)
    common = context.majority.get("forget")
    if has_enough(common) and common["above_chance"]:
        yield Flag(
            f"One answer, {common['answer']}, is right for {percent(common)} of the forget items, where chance is "
            f"{100 * chance:.0f} %: a model that always gives it seems to know them. See also forgetting measured from "
            "that share instead of chance.",
            (FORGETTING.key, ABOVE_MAJORITY.key),
            advice.MAJORITY,
        )
    # None is no accusation: with fewer than six pairs no attack could see anything (docs/measuring.md, "Self-check").
    if check and check["usable"] is False:
        seeing = [name for name, one in check["attacks"].items() if one["seen"]]
        yield Flag(
            f"The membership split is unusable: {', '.join(seeing)} distinguish members from non-members on the "
            f"{check['model']} model, which has seen neither, so the two sides themselves differ. Use non-members of "
            "the same kind (split.unseen_fraction), or ignore the attacks.",
            tuple(dict.fromkeys((LOSS_AUC.key, LOSS_SCORE.key, *(of_attack(name).key for name in seeing)))),
            advice.SPLIT,
        )


def _side(model: Model, part: str, side: str) -> Mapping[str, Any]:
    """One side of a part of a model's entry in metrics.json; empty if it is missing."""
    return (model.get(part) or {}).get(side) or {}


def advised(warnings: Sequence[Flag]) -> dict[str, str]:
    """What to do about each warning, by its sentence."""
    return {flag.sentence: flag.advice for flag in warnings if flag.advice}


def flagged(warnings: Sequence[Flag]) -> list[str]:
    """The measures that at least one warning casts doubt on, sorted."""
    return sorted({measure for flag in warnings for measure in flag.measures})
