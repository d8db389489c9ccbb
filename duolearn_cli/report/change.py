"""What was changed, and how much of it met resistance: one row for the whole adapter and one a layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from duolearn_cli.report.tables import DASH, Table, cell, number

# How the means over steps are headed; in per cent, but for the cosine.
MEANS = {"conflict": "Conflicts (%)", "cosine": "Cosine", "opposed": "Opposed (%)", "removed": "Removed (%)"}
NOTE = (
    "Norm: Frobenius norm of the change of the weights that the adapter stands for. The others are means over the "
    "steps: how often the update would have harmed what is to be kept, the cosine of the forget and the preserve "
    "gradient, the share of the forget gradient that points against keeping, and the share of the update's norm that "
    "the constraint took away. Layers count from 0."
)


def change_table(metrics: Mapping[str, Any]) -> Table:
    """Norm of the change, values changed, means over the steps; no rows for a run that tells neither."""
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
