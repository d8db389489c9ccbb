"""The section of metrics.json about a model's privacy account."""

from __future__ import annotations

import math
from typing import Any

from duolearn_cli.config.privacy import SETS
from duolearn_cli.privacy.account import EXCLUDES, Account
from duolearn_cli.privacy.accounting import LIBRARY

# Points on the curve of epsilon over steps. The accountant needs a tenth of a second for each.
NUM_POINTS = 12


def summarise(account: Account) -> dict[str, Any]:
    """Return the `account` section of metrics.json (docs/metrics.md), ready for JSON. None stands for "no bound".

    For each set, `epsilon` composes everything spent on the model, `epsilon_run` is the last stage alone, and
    `over_steps` holds pairs of a step of the last stage and the total epsilon at that step. `groups` has the epsilon of
    all units of one fact or patient together.
    """
    entry, kinds = account.last, account.shared_kinds
    sets: dict[str, Any] = {}
    for name in SETS:
        if name not in entry.spendings:
            sets[name] = {"epsilon": None}
            continue
        spending = entry.spendings[name]
        sets[name] = {
            "epsilon": _finite(account.epsilon(name)),
            "epsilon_run": _finite(account.epsilon(name, alone=True)),
            "noise_multiplier": spending.noise_multiplier,
            "rate": spending.rate,
            "sampling": spending.sampling,
            "units": entry.num_units[name],
            "steps": entry.begun,
            "planned_steps": spending.steps,
            "over_steps": [[step, _finite(account.after(step).epsilon(name))] for step in _points(entry.begun)],
        }
    return {
        "promise": account.is_promise,
        "unit": account.unit,
        "delta": account.delta,
        "budget": account.budget,
        "accountant": account.accountant,
        "library": LIBRARY,
        "randomness": entry.randomness,
        "max_grad_norm": entry.max_grad_norm,
        "clipping": entry.clipping,
        "shared_units": entry.shared,
        "earlier_stages": len(account.entries) - 1,
        "stage": entry.stage,
        "start": entry.start,
        "groups": {
            kind: {"units": _largest_group(account, kind), "epsilon": _finite(account.epsilon_of(kind))}
            for kind in kinds
        },
        "excludes": list(EXCLUDES),
        "sets": sets,
    }


def _largest_group(account: Account, kind: str) -> int | None:
    """The most units that one fact or patient has in any stage; None if its units also hold items of others."""
    by_stage = [entry.together[kind] for entry in account.entries if kind in entry.together]
    sizes = [sum(group.values()) for groups in by_stage for group in groups or ()]
    return None if None in by_stage else max(sizes)


def _points(last: int) -> list[int]:
    """Up to `NUM_POINTS` evenly spaced steps, ending with `last`."""
    return sorted({round(last * i / NUM_POINTS) for i in range(1, NUM_POINTS + 1)} - {0})


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
