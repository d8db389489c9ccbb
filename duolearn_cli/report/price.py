"""The price of privacy in a sweep: in forgetting and keeping, and in the epsilon of all runs together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from duolearn_cli.config.privacy import SETS
from duolearn_cli.evaluation.measures.central import FORGETTING, FORGETTING_RATE, KEEPING
from duolearn_cli.evaluation.measures.measure import Measure
from duolearn_cli.privacy.account import composed_by_set
from duolearn_cli.report.jobs import Job, heading, is_seed, shown, value_of, varying
from duolearn_cli.report.tables import DASH, Table, number

PRICED = (FORGETTING_RATE, FORGETTING, KEEPING)
# Settings that decide which records are forgotten. If they vary, a record may be in another set in each run.
MOVERS = ("forget.", "hierarchy.", "labels.", "imperfect.", "dataset.")


def price_table(jobs: Sequence[Job]) -> Table | None:
    """Return the table that compares private runs with runs without privacy that are otherwise equal.

    Scores are means over seeds. Differences are in percentage points and paired by seed and fact; from three seeds on
    they have a 95 % interval over both. Return None if no private run has such a counterpart.
    """
    settings = [key for key in varying(jobs) if not is_seed(key)]
    others = [key for key in settings if not key.startswith("privacy.")]
    terms = [key for key in settings if key.startswith("privacy.")]
    groups: dict[tuple[str, ...], list[Job]] = {}
    for job in jobs:
        # A job without settings cannot be compared: it may differ in anything.
        if job.scores is not None and job.settings:
            groups.setdefault(tuple(value_of(job, key) for key in (*others, *terms)), []).append(job)
    # Runs without privacy are compared by all other settings. Their privacy terms have no effect and may differ.
    bare = {key[: len(others)]: own for key, own in groups.items() if _is_bare(own[0])}
    rows = [
        (*(shown(own[0], key) for key in (*others, *terms)), *_cells(own, bare[key[: len(others)]]))
        for key, own in groups.items()
        if not _is_bare(own[0]) and key[: len(others)] in bare
    ]
    if not rows:
        return None
    labels = [label for measure in PRICED for label in (measure.label, "against none (points)")]
    header = (*map(heading, (*others, *terms)), *labels, "seeds")
    return Table("The price of privacy, means over seeds", header, tuple(rows), num_text=len(others) + len(terms))


def _is_bare(job: Job) -> bool:
    return job.settings.get("privacy.epsilon") is None


def _cells(private: Sequence[Job], bare: Sequence[Job]) -> list[str]:
    from duolearn_cli.report.averages import difference_over_jobs, score  # SciPy: see SweepTable

    cells: list[str] = []
    for measure in PRICED:
        own, theirs = _by_seed(private, measure), _by_seed(bare, measure)
        both = [seed for seed in own if seed in theirs]
        mean = sum(score(job, measure.key) for job in own.values()) / len(own) if own else None
        cells.append(DASH if mean is None else f"{100 * mean:.1f}")
        cells.append(_points(difference_over_jobs([own[s] for s in both], [theirs[s] for s in both], measure)))
    return [*cells, str(len(_by_seed(private, PRICED[0])))]


def _by_seed(jobs: Sequence[Job], measure: Measure) -> dict[tuple[str, ...], Job]:
    """Return the jobs that have a score, by their seeds."""
    return {
        tuple(value_of(job, name) for name in job.settings if is_seed(name)): job
        for job in jobs
        if number(((job.scores or {}).get(measure.key) or {}).get("value")) is not None
    }


def _points(difference: Mapping[str, Any] | None) -> str:
    if difference is None:
        return DASH
    value, low, high = (100 * difference.get(end, math.nan) for end in ("value", "low", "high"))
    return f"{value:+.1f}" + (f" [{low:+.1f}, {high:+.1f}]" if math.isfinite(low) else "")


@dataclass(frozen=True, slots=True)
class Together:
    """The privacy that the finished runs of a sweep spend if all their models are released.

    Attributes:
        epsilon: by set; infinite if there is no bound.
        num_models: the number of finished runs; `num_bare` of them have no account.
        is_promise: nobody can know the noise of any account.
        has_moved: a record may be in the forget set of one run and in the retain set of another; it pays for both.
        units: the privacy units of the accounts. If they differ, their spending cannot be added up.
    """

    epsilon: Mapping[str, float]
    delta: float
    num_models: int
    num_bare: int
    is_promise: bool
    has_moved: bool
    units: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields of sweep.json. JSON has no infinity, so null stands for an infinite epsilon."""
        epsilons = {name: value if math.isfinite(value) else None for name, value in self.epsilon.items()}
        return {"epsilon_together": epsilons, "delta_together": self.delta, "promise_together": self.is_promise}


def released_together(jobs: Sequence[Job]) -> Together | None:
    """Compose the spending of all finished jobs. Return None if none has an account."""
    finished = [job for job in jobs if job.scores is not None]
    accounts = [job.account for job in finished if job.account]
    if not accounts:
        return None
    units = tuple(sorted({account.unit for account in accounts}))
    movers = {key for job in finished for key in job.settings if key.startswith(MOVERS)}
    has_moved = any(len({value_of(job, key) for job in finished}) > 1 for key in movers)
    num_bare = len(finished) - len(accounts)
    if num_bare or len(units) > 1 or (has_moved and any(account.last.unprotected for account in accounts)):
        # In each of these cases some record has no bound in some run, or bounds of different units, which cannot be
        # added.
        epsilon: dict[str, float] = dict.fromkeys(SETS, math.inf)
    else:
        epsilon = composed_by_set([account.in_both() for account in accounts] if has_moved else accounts)
    is_promise = all(account.is_promise for account in accounts)
    delta = min(account.delta for account in accounts)
    return Together(epsilon, delta, len(finished), num_bare, is_promise, has_moved, units)


def sweep_note(jobs: Sequence[Job], together: Together | None) -> str | None:
    """Return the note about privacy for a sweep with private runs, None for other sweeps."""
    if together is None:
        return None
    runs = f"{len(jobs)} run{'s' if len(jobs) > 1 else ''}"
    epsilon = ", ".join(
        f"{'infinite' if math.isinf(e) else f'{e:.3g}'} ({name})" for name, e in together.epsilon.items()
    )
    lines = [
        f"Privacy: this sweep is {runs} on the same records. Choosing among them is not part of each run's epsilon.",
        f"All {together.num_models} models of finished runs, released together, spend at most epsilon {epsilon} at "
        f"delta {together.delta:.2g}, stages before them included.",
    ]
    if together.num_bare:
        lines.append(f"{together.num_bare} of them have no privacy account: nothing bounds what they reveal.")
    elif len(together.units) > 1:
        lines.append(f"They protect different units ({', '.join(together.units)}), whose spending cannot be added up.")
    elif math.inf in together.epsilon.values():
        lines.append("Infinite: the set is not protected in every run.")
    if together.has_moved and not together.num_bare:
        lines.append("The forget targets may differ: a record counts as if it were in both sets of each run.")
    if not together.is_promise:
        lines.append(
            "No privacy is promised: the noise of some of them follows from the seed, and epsilon is what they would "
            "spend with noise that nobody knows."
        )
    return " ".join(lines)
