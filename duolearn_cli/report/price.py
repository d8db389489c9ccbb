"""What privacy costs in a sweep: in forgetting and keeping, and in epsilon for all of its runs together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from duolearn_cli.config.privacy import SETS
from duolearn_cli.privacy.account import Account, composed_by_set
from duolearn_cli.report.jobs import Job, heading, is_seed, shown, value_of, varying
from duolearn_cli.report.tables import DASH, MEASURES, Table, number

PRICED = ("forgetting_rate", "chance_corrected_forgetting", "knowledge_preservation")
# Settings that say which records are to be forgotten: where they vary, a record changes sets from run to run.
MOVERS = ("forget.", "hierarchy.", "labels.", "imperfect.", "dataset.")


def price_table(jobs: Sequence[Job]) -> Table | None:
    """Scores of private runs beside those without privacy, all else being equal, means over seeds.

    Differences are in percentage points, paired by seed and fact, with a 95 % interval over both from three seeds on.
    None where no private run has one without privacy beside it.
    """
    settings = [key for key in varying(jobs) if not is_seed(key)]
    others = [key for key in settings if not key.startswith("privacy.")]
    terms = [key for key in settings if key.startswith("privacy.")]
    groups: dict[tuple[str, ...], list[Job]] = {}
    for job in jobs:
        # Without its settings nobody knows what a job was: it is no baseline.
        if job.scores is not None and job.settings:
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
    from duolearn_cli.report.averages import difference_over_jobs, score  # SciPy: see SweepTable

    found: list[str] = []
    for key in PRICED:
        own, theirs = _by_seed(private, key), _by_seed(bare, key)
        both = [seed for seed in own if seed in theirs]
        mean = sum(score(job, key) for job in own.values()) / len(own) if own else None
        found.append(DASH if mean is None else f"{100 * mean:.1f}")
        found.append(_points(difference_over_jobs([own[s] for s in both], [theirs[s] for s in both], key)))
    return [*found, str(len(_by_seed(private, PRICED[0])))]


def _by_seed(jobs: Sequence[Job], key: str) -> dict[tuple[str, ...], Job]:
    """The jobs that have a score, by their seeds."""
    return {
        tuple(value_of(job, name) for name in job.settings if is_seed(name)): job
        for job in jobs
        if number(((job.scores or {}).get(key) or {}).get("value")) is not None
    }


def _points(difference: Mapping[str, Any] | None) -> str:
    if difference is None:
        return DASH
    value, low, high = (100 * difference.get(end, math.nan) for end in ("value", "low", "high"))
    return f"{value:+.1f}" + (f" [{low:+.1f}, {high:+.1f}]" if math.isfinite(low) else "")


@dataclass(frozen=True, slots=True)
class Together:
    """What the finished runs of a sweep spend if all of their models are released.

    Attributes:
        epsilon: by set; infinite where nothing bounds it.
        num_models: the finished runs, `num_bare` of them without an account.
        is_promise: whether the noise of every account is known to nobody.
        has_moved: records may be in the forget set of one run and the retain set of another; they pay for both.
        units: what each account protects as a whole; where they differ, nothing is added up.
    """

    epsilon: Mapping[str, float]
    delta: float
    num_models: int
    num_bare: int
    is_promise: bool
    has_moved: bool
    units: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For sweep.json. JSON has no infinity: null says that nothing bounds it."""
        epsilons = {name: value if math.isfinite(value) else None for name, value in self.epsilon.items()}
        return {"epsilon_together": epsilons, "delta_together": self.delta, "promise_together": self.is_promise}


def released_together(jobs: Sequence[Job]) -> Together | None:
    """What all finished jobs spend together; None where none has an account."""
    finished = [job for job in jobs if job.scores is not None]
    accounts = [job.account for job in finished if job.account]
    if not accounts:
        return None
    units = tuple(sorted({account.unit for account in accounts}))
    movers = {key for job in finished for key in job.settings if key.startswith(MOVERS)}
    has_moved = any(len({value_of(job, key) for job in finished}) > 1 for key in movers)
    num_bare = len(finished) - len(accounts)
    if num_bare or len(units) > 1 or (has_moved and any(account.last.unprotected for account in accounts)):
        found: dict[str, float] = dict.fromkeys(SETS, math.inf)
    else:
        found = composed_by_set([_in_both(account) for account in accounts] if has_moved else accounts)
    is_promise = all(account.is_promise for account in accounts)
    delta = min(account.delta for account in accounts)
    return Together(found, delta, len(finished), num_bare, is_promise, has_moved, units)


def _in_both(account: Account) -> Account:
    """The account if every unit were in both sets of the last stage: never less than what it pays in one of them."""
    return replace(account, entries=(*account.entries[:-1], replace(account.last, shared=True)))


def sweep_note(jobs: Sequence[Job], together: Together | None) -> str | None:
    """What a sweep over private runs must say; None for others."""
    if together is None:
        return None
    runs = f"{len(jobs)} run{'s' if len(jobs) > 1 else ''}"
    told = ", ".join(f"{'infinite' if math.isinf(e) else f'{e:.3g}'} ({name})" for name, e in together.epsilon.items())
    said = [
        f"Privacy: this sweep is {runs} on the same records. Choosing among them is not part of each run's epsilon.",
        f"All {together.num_models} models of finished runs, released together, spend at most epsilon {told} at delta "
        f"{together.delta:.2g}, stages before them included.",
    ]
    if together.num_bare:
        said.append(f"{together.num_bare} of them without a privacy account: nothing bounds what these tell.")
    elif len(together.units) > 1:
        said.append(f"They protect different units ({', '.join(together.units)}), whose spending cannot be added up.")
    elif math.inf in together.epsilon.values():
        said.append("Infinite: the set is not protected in every run.")
    if together.has_moved and not together.num_bare:
        said.append("What is to be forgotten may differ: a record counts as if it were in both sets of each run.")
    if not together.is_promise:
        said.append(
            "No privacy is promised: the noise of some of them follows from the seed, and epsilon is what they would "
            "spend with noise that nobody knows."
        )
    return " ".join(said)
