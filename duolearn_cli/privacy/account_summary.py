"""What metrics.json says of a model's account."""

from __future__ import annotations

import math
from typing import Any

from duolearn_cli.config.privacy import SETS
from duolearn_cli.privacy.account import EXCLUDES, Account
from duolearn_cli.privacy.accounting import LIBRARY

# How many points the curve of epsilon over steps has; each takes the accountant a tenth of a second.
NUM_POINTS = 12


def summarise(account: Account) -> dict[str, Any]:
    """The `account` of metrics.json (docs/metrics.md): terms and epsilon of each set; null where nothing bounds it.

    `epsilon` is that of all that was spent on the model, `epsilon_run` that of its last stage alone, `over_steps` pairs
    of a step of that stage and the total epsilon until then. `groups` has the epsilon of what several units share.
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
            kind: {"units": _most(account, kind), "epsilon": _finite(account.epsilon_of(kind))} for kind in kinds
        },
        "excludes": list(EXCLUDES),
        "sets": sets,
    }


def _most(account: Account, kind: str) -> int | None:
    """How many units one fact or patient has at most in a stage; None where its units hold items of others too."""
    found = [entry.together[kind] for entry in account.entries if kind in entry.together]
    sizes = [sum(group.values()) for groups in found for group in groups or ()]
    return None if None in found else max(sizes)


def _points(last: int) -> list[int]:
    return sorted({round(last * i / NUM_POINTS) for i in range(1, NUM_POINTS + 1)} - {0})


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
