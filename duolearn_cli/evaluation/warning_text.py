"""The parts of warnings: the sentence with the measures that it is about, the context, and estimates in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from duolearn_cli.evaluation.metrics.few import FEW_FACTS

Model = Mapping[str, Any]

# What trained and held-out items are called in sentences, by how the held-out ones differ.
WORDS = {
    "phrasings": ("trained phrasings", "held-out phrasings"),
    "orders": ("options in the trained order", "options in another order"),
    "both": ("trained items", "held-out phrasings or option orders"),
}


@dataclass(frozen=True, slots=True)
class Flag:
    """A warning.

    Attributes:
        sentence: for the reader, in `flags` of metrics.json.
        measures: keys of the `evaluation.measures` that the warning casts doubt on, in `flagged` of metrics.json.
        advice: what to do about it, a sentence, in `advice` of metrics.json.
    """

    sentence: str
    measures: tuple[str, ...] = ()
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """What is known about a run's items, apart from the models' answers.

    Attributes:
        heldout: how the held-out items differ from trained ones, a key of `WORDS`.
        retain_chance: the mean of 1 / number of options over retain items; None if it is that of forget items.
        majority: by side, how often the most common answer is right (`majority` of metrics.json).
        floor: what forgetting is measured from (`floor` of metrics.json); empty for 1 / number of options.
        by_options: by side, what the options give away (`by_options` of metrics.json).
        by_place: by side, what the positions give away (`by_place` of metrics.json).
    """

    heldout: str = "phrasings"
    retain_chance: float | None = None
    majority: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    floor: Mapping[str, Any] = field(default_factory=dict)
    by_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    by_place: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def facts_of(estimate: Mapping[str, Any] | None) -> int:
    """The number of facts of an estimate, or of items if it does not state facts; 0 if there is no estimate."""
    if not estimate:
        return 0
    return estimate["n"] if estimate.get("facts") is None else estimate["facts"]


def has_enough(estimate: Mapping[str, Any] | None) -> TypeGuard[Mapping[str, Any]]:
    """Whether there is an estimate over enough facts (for an attack: pairs) to base a claim on its interval."""
    return facts_of(estimate) >= FEW_FACTS


def is_below(one: Mapping[str, Any], other: Mapping[str, Any], least: float) -> bool:
    """Whether one estimate is below another: their intervals do not overlap, and the gap is larger than `least`."""
    return bounds(one)[1] < bounds(other)[0] and other["value"] - one["value"] > least


def bounds(estimate: Mapping[str, Any]) -> tuple[float, float]:
    """Both ends of the interval: infinite if it is unbounded, the value itself if there is no interval."""
    if estimate.get("unbounded"):
        return -math.inf, math.inf
    low, high = (estimate["value"] if estimate[key] is None else estimate[key] for key in ("low", "high"))
    return low, high


def percent(estimate: Mapping[str, Any] | None) -> str:
    """The value in percent: ``97.3 %``."""
    return "— %" if not estimate else f"{100 * estimate['value']:.1f} %"


def interval(estimate: Mapping[str, Any] | None) -> str:
    """The value in percent with its interval, if it has one: ``97.3 % [95.1, 98.6]``."""
    if not estimate or estimate["low"] is None or estimate["high"] is None:
        return percent(estimate)
    return f"{percent(estimate)} [{100 * estimate['low']:.1f}, {100 * estimate['high']:.1f}]"
