"""The verdict of a run: four lights and one sentence, from metrics.json and the thresholds of the user.

An interval decides: a light is green if the whole 95 % interval is on the good side of its threshold, red if the whole
interval is on the other side, and amber if the interval holds the threshold or rests on fewer than `FEW_FACTS` facts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from duolearn_cli.config.verdict import VerdictConfig
from duolearn_cli.evaluation.exposure_lights import attacks, privacy
from duolearn_cli.evaluation.light import Light, Models, at_least, bar_of, percent, share, value_of, with_estimate
from duolearn_cli.evaluation.measures.central import (
    AGAINST_GOLD,
    FORGET_ACCURACY,
    FORGETTING,
    KEEPING,
    RETAIN_ACCURACY,
)
from duolearn_cli.evaluation.measures.measure import Measure
from duolearn_cli.evaluation.warning_text import bounds


def verdict(metrics: Mapping[str, Any], limits: VerdictConfig) -> dict[str, Any] | None:
    """The verdict as metrics.json holds it: ``sentence``, ``lights``, ``limits``. None if nothing was unlearned."""
    models = metrics["models"]
    if not (models.get("target") and models.get("unlearned")):
        return None
    topic = str(metrics["forget"]).replace("_", " ")
    lights = [
        forgotten(models, metrics, topic, limits.forgotten),
        kept(models, limits.kept),
        attacks(models, metrics.get("membership_check") or {}, limits.attacks),
        privacy(metrics, limits.epsilon),
    ]
    return {
        "sentence": sentence([light.said for light in lights]),
        "lights": [asdict(light) for light in lights],
        # The page of a comparison shows the lights from these, without the configuration of the run.
        "limits": asdict(limits),
    }


def sentence(said: Sequence[str]) -> str:
    """What each light says, in one sentence; what is not decided (``whether ...``) follows in another one."""
    decided = "; ".join(part for part in said if not part.startswith("whether "))
    undecided = [part for part in said if part.startswith("whether ")]
    # `capitalize` would make all other letters small, also the capitals in the name of a target.
    first = f"{decided[0].upper()}{decided[1:]}." if decided else ""
    return " ".join(part for part in (first, f"Not decided: {_listed(undecided)}." if undecided else "") if part)


def _listed(parts: Sequence[str]) -> str:
    return ", and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def forgotten(models: Models, metrics: Mapping[str, Any], topic: str, limit: float) -> Light:
    """Whether the forget items are forgotten: how far the way is from the target to gold, or to chance."""
    after, gold = models["unlearned"], models.get("gold") or {}
    # A run of the user's own model without gold has the measure with a reason in place of a value.
    by_gold = bool(gold) and AGAINST_GOLD.find(after) is not None
    measure = AGAINST_GOLD if by_gold else FORGETTING
    found, end = measure.find(after), "the accuracy of a model that never learned it" if by_gold else "guessing"
    accuracy = FORGET_ACCURACY.find(after)
    bar = bar_of("right answers to forget items", accuracy, _marks(models, FORGET_ACCURACY, metrics.get("chance")))
    state, reason = at_least(found, limit)
    # More than all the way: the model knows which answers to avoid, and who asks for the opposite learns them.
    is_avoided = state == "green" and bounds(found or {})[0] > 1
    said = {"green": f"{topic} is forgotten", "red": f"{topic} is not forgotten"}.get(
        state, f"whether {topic} is forgotten"
    )
    if is_avoided:
        state, said = "amber", f"right answers about {topic} are avoided rather than forgotten"
        fewer = f"the model answers fewer items right than {'gold' if by_gold else 'guessing would'}"
        reason = f"The whole interval is above 100 %: {fewer}."
    way = f"{share(found)} of the way from the target's accuracy to {end}; needed: at least {percent(limit)}."
    never = f", gold {share(FORGET_ACCURACY.find(gold))}" if FORGET_ACCURACY.find(gold) else ""
    before = FORGET_ACCURACY.find(models["target"])
    now = f"It answers {share(accuracy)} of the forget items right (before {share(before)}{never})."
    light = Light("forgotten", "Forgotten", state, said, f"{now} That is {way} {reason}")
    return with_estimate(light, measure, found, limit, bar)


def kept(models: Models, least: float) -> Light:
    """Whether other knowledge is kept: accuracy on retain items, as a share of the target's.

    Gold never learned the forget items, and may be worse on retain items for that alone: then less is asked.
    """
    after, gold = models["unlearned"], KEEPING.find(models.get("gold") or {})
    found, of_gold = KEEPING.find(after), value_of(gold)
    limit = least * min(1.0, of_gold) if of_gold is not None else least
    state, reason = at_least(found, limit)
    said = {"green": "other knowledge is kept", "red": "too much other knowledge is lost"}.get(
        state, "whether other knowledge is kept"
    )
    accuracy = RETAIN_ACCURACY.find(after)
    # No mark for chance: the one in metrics.json is the chance level of forget items.
    bar = bar_of("right answers to retain items", accuracy, _marks(models, RETAIN_ACCURACY, None))
    beside = f" ({percent(least)} of gold's {percent(of_gold)})" if of_gold is not None and of_gold < 1 else ""
    now = (
        f"It answers {share(accuracy)} of the retain items right (before "
        f"{share(RETAIN_ACCURACY.find(models['target']))}). That is {share(found)} of the accuracy before; needed: "
        f"at least {percent(limit)}{beside}."
    )
    return with_estimate(Light("kept", "Kept", state, said, f"{now} {reason}"), KEEPING, found, limit, bar)


def _marks(models: Models, measure: Measure, chance: float | None) -> dict[str, float]:
    return dict(_known(models, measure)) | ({"chance": chance} if chance is not None else {})


def _known(models: Models, measure: Measure) -> Iterator[tuple[str, float]]:
    for name in ("target", "gold"):
        if (value := value_of(measure.find(models.get(name) or {}))) is not None:
            yield name, value
