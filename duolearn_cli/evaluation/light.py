"""The parts of a verdict: a light with the estimate that decides it, and the scale beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from duolearn_cli.evaluation.measures.measure import Measure
from duolearn_cli.evaluation.metrics.few import FEW_FACTS
from duolearn_cli.evaluation.warning_text import bounds, facts_of, has_enough

# green: shown to hold; red: shown not to hold; amber: not decided; off: the run did not ask for it.
State = Literal["green", "amber", "red", "off"]
Models = Mapping[str, Mapping[str, Any]]
Found = Mapping[str, Any] | None
NEEDED = f"a claim needs {FEW_FACTS}"


@dataclass(frozen=True, slots=True)
class Bar:
    """The scale beside a light: the unlearned model's estimate, and what it is compared with.

    Attributes:
        label: what the scale shows.
        value, low, high: the estimate; None if unknown.
        marks: other values on the scale by name: ``target``, ``gold``, ``chance``, ``limit``.
        most: the end of the scale, which begins at 0.
        percent: show values in per cent.
    """

    label: str
    value: float | None
    low: float | None
    high: float | None
    marks: Mapping[str, float] = field(default_factory=dict)
    most: float = 1.0
    percent: bool = True


@dataclass(frozen=True, slots=True)
class Light:
    """One light of the verdict.

    Attributes:
        key: ``forgotten``, ``kept``, ``attacks`` or ``privacy``.
        said: the light in a few words, a part of the verdict's sentence; ``whether ...`` if it is not decided.
        reason: why the light has this state, one or two sentences with the numbers and the threshold.
        measure: the key of the measure that decides; None for privacy.
        value, low, high: its estimate.
        facts: the number of facts (attacks: pairs) behind it.
        limit: the threshold that it was compared with.
    """

    key: str
    name: str
    state: State
    said: str
    reason: str
    measure: str | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    facts: int | None = None
    limit: float | None = None
    bar: Bar | None = None


def at_least(found: Found, limit: float) -> tuple[State, str]:
    """The state of a measure that must reach a limit, and why."""
    if not found or value_of(found) is None:
        return "amber", "It has no value: the target answers too few items right."
    low, high = bounds(found)
    state: State = "green" if low >= limit else "red" if high < limit else "amber"
    # Intervals over few facts are not reliable (docs/intervals.md).
    state = state if has_enough(found) else "amber"
    return state, why(found, state, "facts")


def why(found: Mapping[str, Any], state: State, unit: str) -> str:
    if not has_enough(found):
        return f"There are only {facts_of(found)} {unit}: {NEEDED}."
    if math.isinf(bounds(found)[0]):
        return "The interval is unbounded: the target answers too few items right."
    return {
        "green": "The whole interval meets that.",
        "red": "The whole interval misses that.",
        "amber": "The interval holds values on both sides: more facts or seeds would decide.",
        "off": "",
    }[state]


def with_estimate(light: Light, measure: Measure, found: Found, limit: float, bar: Bar) -> Light:
    """The light with the estimate that decided it, and the scale beside it."""
    low, high = (finite((found or {}).get(end)) for end in ("low", "high"))
    # A product of limits such as 0.9 * 0.993 would be written with all its rounding errors.
    numbers = {"value": value_of(found), "low": low, "high": high, "facts": facts_of(found), "limit": round(limit, 6)}
    return replace(light, measure=measure.key, bar=bar, **numbers)


def bar_of(label: str, found: Found, marks: Mapping[str, float], *, percent: bool = True) -> Bar:
    low, high = (finite((found or {}).get(end)) for end in ("low", "high"))
    return Bar(label, value_of(found), low, high, dict(marks), percent=percent)


def value_of(found: Found) -> float | None:
    return finite((found or {}).get("value"))


def finite(value: Any) -> float | None:
    # A run that has just been measured has NaN where metrics.json, read again, has null.
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def percent(value: float) -> str:
    return f"{100 * value:.3g} %"


def share(found: Found) -> str:
    """The value in per cent with its interval, if it has one."""
    value, low, high = (finite((found or {}).get(key)) for key in ("value", "low", "high"))
    if value is None:
        return "an unknown share"
    return f"{100 * value:.1f} %" + ("" if low is None or high is None else f" [{100 * low:.1f}, {100 * high:.1f}]")


def shown(found: Found) -> str:
    value, low, high = (finite((found or {}).get(key)) for key in ("value", "low", "high"))
    return f"{value:.2f}" + ("" if low is None or high is None else f" [{low:.2f}, {high:.2f}]")
