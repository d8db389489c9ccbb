"""The note about measures that are ratios to another model: they may exceed 100 %, and are not cut there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from duolearn_cli.evaluation.measures.central import KEEPING
from duolearn_cli.evaluation.measures.measure import Measure
from duolearn_cli.report.measures import number
from duolearn_cli.report.tables import present, shown_measures


def above_whole(metrics: Mapping[str, Any]) -> str:
    """Name the ratios of the results table whose value or interval goes above 100 %. Empty if there is none."""
    names = list(_above(metrics))
    if not names:
        return ""
    kept = " A KPR above 100 % means more right answers than the target gives." if KEEPING.name in names else ""
    return (
        f"Above 100 %: {', '.join(names)}. That is no error: each is a ratio to what another model reaches, not a "
        f"share of the items.{kept}"
    )


def _above(metrics: Mapping[str, Any]) -> Iterator[str]:
    for _, measure in shown_measures(metrics):
        found = [measure.find(metrics["models"][name]) or {} for name in present(metrics)]
        if _is_ratio(measure) and any((number(one.get(end)) or 0) > 1 for one in found for end in ("value", "high")):
            yield measure.name


def _is_ratio(measure: Measure) -> bool:
    return measure.percent and measure.limits[1] > 1
