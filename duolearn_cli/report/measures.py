"""How measures are written: numbers, cells with intervals, arrows; and the measures that a user added to a run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from duolearn_cli.evaluation.measures.measure import Measure
from duolearn_cli.evaluation.measures.membership import OfAttack

DASH = "—"
ARROWS = {True: " ↑", False: " ↓", None: ""}


def number(value: Any) -> float | None:
    """A finite float, or None for whatever cannot be shown."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def cell(estimate: Mapping[str, Any] | None, scale: float, digits: int) -> str:
    """``value [low, high]``; a dash where there is no value, no brackets where there is no interval.

    ``[unbounded]`` says that any value is possible.
    """
    value, low, high = (number((estimate or {}).get(key)) for key in ("value", "low", "high"))
    if value is None:
        return DASH
    # z: what rounds to zero has no sign.
    shown = f"{scale * value:z.{digits}f}"
    if low is None or high is None:
        return f"{shown} [unbounded]" if (estimate or {}).get("unbounded") else shown
    return f"{shown} [{scale * low:z.{digits}f}, {scale * high:z.{digits}f}]"


def counted(measure: Measure, estimates: Iterable[Mapping[str, Any] | None], remark: str = "") -> str:
    """``n 90 (45 facts)``: items, and the facts that an interval counts; of an attack facts, and their pairs.

    Of several models the smallest numbers, so that no row claims more than some model was asked. `remark` is added.
    """
    least = min((one for one in estimates if one), key=lambda one: one["n"])
    facts, unit = least.get("facts"), "pairs" if isinstance(measure.formula, OfAttack) else "facts"
    details = [f"{facts} {unit}"] if facts is not None and facts != least["n"] else []
    details += [remark] if remark else []
    return f"n {least['n']}" + (f" ({', '.join(details)})" if details else "")


def cell_of(measure: Measure, estimate: Mapping[str, Any] | None) -> str:
    """An estimate of a measure in its unit."""
    held = within(estimate, measure.limits)
    return cell(held, scale=100, digits=1) if measure.percent else cell(held, scale=1, digits=3)


def within(estimate: Mapping[str, Any] | None, limits: tuple[float, float]) -> Mapping[str, Any] | None:
    """An estimate whose interval is cut to what the measure can be."""
    # Means over seeds and ratios may have ends that no run can reach.
    low, high = (number((estimate or {}).get(key)) for key in ("low", "high"))
    if not estimate or low is None or high is None:
        return estimate
    return {**estimate, "low": max(low, limits[0]), "high": min(high, limits[1])}


def heading_of(measure: Measure, estimates: Iterable[Mapping[str, Any] | None] = ()) -> str:
    """A measure's name and unit, with up or down for which way is better, or what to end at.

    Which way, the `estimates` say first, as metrics.json has them.
    """
    return measure.label + arrow(measure, estimates)


def arrow(measure: Measure, estimates: Iterable[Mapping[str, Any] | None] = ()) -> str:
    """What stands behind a measure's name, see `heading_of`."""
    # A measure to end at a value, such as forgetting at 100 %, has no better direction.
    if measure.best is not None:
        return f" → {measure.best}" if measure.best else ""
    stated = [one["higher_is_better"] for one in estimates if one and one.get("higher_is_better") is not None]
    return ARROWS[stated[0] if stated else measure.higher_is_better]


def added_to(metrics: Mapping[str, Any]) -> dict[str, Measure]:
    """The measures that a user added to a run, by key, from what its metrics.json says of them."""
    return {key: Measure.from_dict(key, entry) for key, entry in (metrics.get("measures") or {}).items()}
