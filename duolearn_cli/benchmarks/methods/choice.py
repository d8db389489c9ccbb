"""Which try of a method is chosen, by what it did on validation facts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from duolearn_cli.evaluation.measures.central import AGAINST_GOLD, FORGETTING, KEEPING

CRITERION = (
    "the least distance from where it should end, the root of the mean square of three parts: |1 - forgetting|, of "
    f"the way from target to gold (without gold: to chance); what {KEEPING.name} lacks of 1; and log2(1 + r) with r "
    "the mean distance of the forget losses from gold's, the target's being 1 (without gold: left out)"
)
# Distances that differ by less are equal.
TIE = 1e-9


@dataclass(frozen=True, slots=True)
class Worth:
    """What a try did; `distance` is what it is chosen by, the less the better."""

    forgetting: float
    keeping: float
    distance: float

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def worth(metrics: Mapping[str, Any]) -> Worth | None:
    """What a try did, from its metrics.json; None where forgetting or keeping is undefined.

    Every part grows with what went wrong and none has an end: of two tries that break the model, the one that breaks it
    less is nearer. Forgetting too much counts as forgetting too little. The logarithm keeps losses, which have no upper
    end, from outweighing all else: as far from gold as the target is 1, thrice as far is 2.
    """
    models = metrics["models"]
    chance, against, kept = (
        _value(measure.find(models["unlearned"])) for measure in (FORGETTING, AGAINST_GOLD, KEEPING)
    )
    if chance is None or kept is None:
        return None
    apart = [
        _value(((models[name].get("gold") or {}).get("forget") or {}).get("nll_distance"))
        for name in ("unlearned", "target")
    ]
    # Gold is the better end: a model that never learned the items need not answer at chance (docs/measuring.md,
    # "Chance").
    parts = [abs(1 - (chance if against is None else against)), max(0.0, 1 - kept)]
    if apart[0] is not None and apart[1]:
        parts.append(math.log2(1 + apart[0] / apart[1]))
    return Worth(chance, kept, math.sqrt(sum(part**2 for part in parts) / len(parts)))


def _value(estimate: Mapping[str, Any] | None) -> float | None:
    return (estimate or {}).get("value")


def chosen(tries: Sequence[Worth | None]) -> int | None:
    """The place of the nearest try; of equals the one that keeps more, then the first. None where all failed."""
    known = {place: one for place, one in enumerate(tries) if one is not None}
    if not known:
        return None
    least = min(one.distance for one in known.values())
    equal = [place for place, one in known.items() if one.distance <= least + TIE]
    return max(equal, key=lambda place: (known[place].keeping, -place))
