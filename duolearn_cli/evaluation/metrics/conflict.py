"""How forgetting met keeping over a run: means of the steps' diagnostics. No torch: plain numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# What a step tells of the whole and, under the name with the suffix, of each layer; runs are summed up by means.
MEANS = ("conflict", "cosine", "opposed", "removed")
FIGURES = (*MEANS, "step_norm")
BY_LAYER = "_by_layer"


def summarise(history: Iterable[Mapping[str, Any]], layers: Sequence[int]) -> dict[str, Any] | None:
    """Means over the unlearning steps, as in metrics.json; None where no step tells anything.

    `layers` are the layers' numbers in the order of the ``..._by_layer`` lists. A step that was computed again after a
    resume counts once, with its last line. A mean over no value is None.
    """
    # A quick evaluation writes a line of the same stage and step, but with other keys.
    steps = {e["step"]: e for e in history if e.get("stage") == "unlearn" and any(name in e for name in MEANS)}
    if not steps:
        return None
    lines = list(steps.values())
    by_layer = [
        {"layer": layer, **{name: _mean(_at(line.get(f"{name}{BY_LAYER}"), i) for line in lines) for name in MEANS}}
        for i, layer in enumerate(layers)
        if any(f"{name}{BY_LAYER}" in line for line in lines for name in MEANS)
    ]
    return {
        "steps": len(lines),
        **{name: _mean(line.get(name) for line in lines) for name in MEANS},
        "layers": by_layer,
    }


def _at(values: Sequence[float | None] | None, place: int) -> float | None:
    return values[place] if values is not None else None


def _mean(values: Iterable[float | None]) -> float | None:
    finite = [value for value in values if value is not None and math.isfinite(value)]
    return sum(finite) / len(finite) if finite else None
