"""Conflict between forgetting and preserving over a run: means of the steps' diagnostics. Plain numbers, no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Diagnostics of a step. Each is logged for the whole model and, with the suffix `BY_LAYER`, for each layer. Those in
# `MEANS` are averaged over a run.
MEANS = ("conflict", "cosine", "opposed", "removed")
FIGURES = (*MEANS, "step_norm")
BY_LAYER = "_by_layer"


def summarise(history: Iterable[Mapping[str, Any]], layers: Sequence[int]) -> dict[str, Any] | None:
    """The `geometry` section of metrics.json: means of the diagnostics over the unlearning steps.

    A step that was repeated after a resume counts once, with its last line. A mean over no values is None.

    Args:
        history: the lines of history.jsonl.
        layers: the layers' numbers, in the order of the ``..._by_layer`` lists.

    Returns:
        None if no step has diagnostics.
    """
    # A quick evaluation logs a line for the same stage and step, too, but with other keys.
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


def _at(values: Sequence[float | None] | None, index: int) -> float | None:
    return values[index] if values is not None else None


def _mean(values: Iterable[float | None]) -> float | None:
    finite = [value for value in values if value is not None and math.isfinite(value)]
    return sum(finite) / len(finite) if finite else None
