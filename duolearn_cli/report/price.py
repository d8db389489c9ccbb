"""What privacy costs in a sweep: in forgetting and keeping, and in epsilon for all of its runs together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from duolearn_cli.privacy.account import Account, composed
from duolearn_cli.report.jobs import Job, heading, is_seed, shown, value_of, varying
from duolearn_cli.report.tables import DASH, MEASURES, Table, number

PRICED = ("forgetting_rate", "chance_corrected_forgetting", "knowledge_preservation")
FEWEST = 3


def price_table(jobs: Sequence[Job]) -> Table | None:
    """Scores of private runs beside those without privacy, all else being equal, means over seeds.

    Differences are in percentage points, paired by seed, with a 95 % t-interval from three seeds on. None where no
    private run has one without privacy beside it.
    """
    settings = [key for key in varying(jobs) if not is_seed(key)]
    others = [key for key in settings if not key.startswith("privacy.")]
    terms = [key for key in settings if key.startswith("privacy.")]
    groups: dict[tuple[str, ...], list[Job]] = {}
    for job in jobs:
        if job.scores is not None:
            groups.setdefault(tuple(value_of(job, key) for key in (*others, *terms)), []).append(job)
    bare = {key[: len(others)]: own for key, own in groups.items() if _is_bare(own[0])}
    rows = [
        (*(shown(own[0], key) for key in (*others, *terms)), *_cells(own, bare[key[: len(others)]]))
        for key, own in groups.items()
        if not _is_bare(own[0]) and key[: len(others)] in bare
    ]
    if not rows:
        return None
    labels = [label for key in PRICED for label in (MEASURES[key].label, "against none (points)")]
    header = (*map(heading, (*others, *terms)), *labels, "seeds")
    return Table("The price of privacy, means over seeds", header, tuple(rows), num_text=len(others) + len(terms))


def _is_bare(job: Job) -> bool:
    return job.settings.get("privacy.epsilon") is None


def _cells(private: Sequence[Job], bare: Sequence[Job]) -> list[str]:
    found: list[str] = []
    for key in PRICED:
        own, theirs = _by_seed(private, key), _by_seed(bare, key)
        mean = sum(own.values()) / len(own) if own else None
        found.append(DASH if mean is None else f"{100 * mean:.1f}")
        found.append(_difference([100 * (own[seed] - theirs[seed]) for seed in own if seed in theirs]))
    return [*found, str(len(_by_seed(private, PRICED[0])))]


def _by_seed(jobs: Sequence[Job], score: str) -> dict[tuple[str, ...], float]:
    """A score by the job's seeds; jobs without it are left out."""
    found: dict[tuple[str, ...], float] = {}
    for job in jobs:
        value = number(((job.scores or {}).get(score) or {}).get("value"))
        if value is not None:
            found[tuple(value_of(job, key) for key in job.settings if is_seed(key))] = value
    return found


def _difference(pairs: Sequence[float]) -> str:
    if not pairs:
        return DASH
    mean = sum(pairs) / len(pairs)
    if len(pairs) < FEWEST or len(set(pairs)) == 1:
        return f"{mean:+.1f}"
    from scipy import stats

    low, high = stats.t.interval(0.95, len(pairs) - 1, mean, stats.sem(pairs))
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def released_together(jobs: Sequence[Job]) -> dict[str, float]:
    """By set, the epsilon of all finished jobs together; empty where none is private."""
    finished = [job for job in jobs if job.scores is not None]
    accounts: list[Account] = [job.account for job in finished if job.account]
    if not accounts:
        return {}
    return composed(accounts) if len(accounts) == len(finished) else dict.fromkeys(composed(accounts), math.inf)


def sweep_note(jobs: Sequence[Job], together: Mapping[str, Any]) -> str | None:
    """The sentence that a sweep over private runs needs; None for others."""
    if not together:
        return None
    told = ", ".join(f"{name}: {'infinite' if math.isinf(e) else f'{e:.3g}'}" for name, e in together.items())
    return (
        f"Privacy: this sweep is {len(jobs)} runs on the same records. Choosing among them is not part of any run's "
        f"epsilon. Whoever sees the models of all its finished runs has epsilon {told}."
    )
