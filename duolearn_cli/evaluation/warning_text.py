"""What flags are made of: a sentence with the measures that it is about, and estimates in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from duolearn_cli.evaluation.metrics.few import FEW_FACTS

Model = Mapping[str, Any]

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
        floor: what forgetting is measured from, as in metrics.json; empty: 1 / number of options.
        by_options, by_place: by side what the options and the places give away, as in metrics.json.
    """

    heldout: str = "phrasings"
    retain_chance: float | None = None
    majority: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    floor: Mapping[str, Any] = field(default_factory=dict)
    by_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    by_place: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def facts_of(estimate: Mapping[str, Any] | None) -> int:
    """The facts behind an estimate; its items, where it does not tell."""
    if not estimate:
        return 0
    return estimate["n"] if estimate.get("facts") is None else estimate["facts"]


def has_enough(estimate: Mapping[str, Any] | None) -> TypeGuard[Mapping[str, Any]]:
    """There is an estimate, of enough facts (of an attack: pairs) to claim something by its interval."""
    return facts_of(estimate) >= FEW_FACTS


def is_below(one: Mapping[str, Any], other: Mapping[str, Any], least: float) -> bool:
    """One estimate is below another by more than both intervals, and by more than `least`."""
    return bounds(one)[1] < bounds(other)[0] and other["value"] - one["value"] > least


def bounds(estimate: Mapping[str, Any]) -> tuple[float, float]:
    """Both ends of the interval: anything where it is unbounded, the value where there is none."""
    if estimate.get("unbounded"):
        return -math.inf, math.inf
    low, high = (estimate["value"] if estimate[key] is None else estimate[key] for key in ("low", "high"))
    return low, high


def percent(estimate: Mapping[str, Any] | None) -> str:
    return "— %" if not estimate else f"{100 * estimate['value']:.1f} %"


def interval(estimate: Mapping[str, Any] | None) -> str:
    if not estimate or estimate["low"] is None or estimate["high"] is None:
        return percent(estimate)
    return f"{percent(estimate)} [{100 * estimate['low']:.1f}, {100 * estimate['high']:.1f}]"
