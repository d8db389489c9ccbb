"""Which try of a method is chosen, by what it did on validation facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import harmonic_mean
from typing import Any

CRITERION = (
    "harmonic mean of chance-corrected forgetting, KPR (both cut to 0 to 1) and 1 - KS distance of the forget losses "
    "to gold's"
)


def criterion(metrics: Mapping[str, Any]) -> float | None:
    """How good a try is, from its metrics.json; None where a part is undefined.

    Forgetting beyond chance earns nothing, and what overshoots gold's losses, or falls short of them, costs.
    """
    model = metrics["models"]["unlearned"]
    forgetting = model["scores"]["chance_corrected_forgetting"]["value"]
    keeping = model["scores"]["knowledge_preservation"]["value"]
    apart = (model["gold"].get("forget") or {}).get("ks")
    if forgetting is None or keeping is None or apart is None:
        return None
    return harmonic_mean([min(max(part, 0.0), 1.0) for part in (forgetting, keeping, 1 - apart)])


def chosen(scores: Sequence[float | None]) -> int | None:
    """The place of the best try, of equals the first; None where all failed."""
    known = [place for place, score in enumerate(scores) if score is not None]
    return max(known, key=lambda place: (scores[place], -place)) if known else None
