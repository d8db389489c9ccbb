"""The table of what changed and how far it conflicted: one row for the whole adapter and one per layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from duolearn_cli.report.tables import DASH, Table, cell, number

# The column headings of means over steps. All are in per cent except the cosine.
MEANS = {"conflict": "Conflicts (%)", "cosine": "Cosine", "opposed": "Opposed (%)", "removed": "Removed (%)"}
NOTE = (
    "Norm: Frobenius norm of the change of the adapted weights. The others are means over the steps: how often the "
    "update would have raised the preserve loss, the cosine of the forget and the preserve gradient, the share of the "
    "forget gradient that points against keeping, and the share of the update's norm that the constraint removed. "
    "Layers count from 0."
)


def change_table(metrics: Mapping[str, Any]) -> Table:
    """Return the table of the change: norm, number of changed values, means over the steps.

    It has no rows for a run whose metrics hold neither `change` nor `geometry`.
    """
    change, geometry = metrics.get("change") or {}, metrics.get("geometry") or {}
    changed, met = ({row["layer"]: row for row in part.get("layers") or ()} for part in (change, geometry))
    header = ["Layer"]
    header += ["Norm of the change", "Changed parameters"] * bool(change) + [*MEANS.values()] * bool(geometry)
    entries = [("all", change, geometry)] if change or geometry else []
    entries += [
        (str(layer) if layer >= 0 else "outside the layers", changed.get(layer, {}), met.get(layer, {}))
        for layer in sorted({*changed, *met})
    ]
    rows = tuple(
        (name, *(_changed(moved) if change else ()), *(_means(means) if geometry else ()))
        for name, moved, means in entries
    )
    return Table("What was changed", tuple(header), rows)


def _changed(moved: Mapping[str, Any]) -> tuple[str, str]:
    norm, count, share = (number(moved.get(key)) for key in ("norm", "parameters", "fraction"))
    of_model = "" if share is None else f" ({100 * share:.3g} % of the model)"
    return (DASH if norm is None else f"{norm:.4g}", DASH if count is None else f"{count:,.0f}{of_model}")


def _means(means: Mapping[str, Any]) -> list[str]:
    shown = {name: (1, 3) if name == "cosine" else (100, 1) for name in MEANS}
    return [cell({"value": means.get(name)}, scale, digits) for name, (scale, digits) in shown.items()]
