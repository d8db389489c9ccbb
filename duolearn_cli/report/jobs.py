"""The jobs of a sweep, and which settings tell them apart."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from duolearn_cli.errors import RunError
from duolearn_cli.evaluation.measures.measure import Measure
from duolearn_cli.privacy.account import Account, read_account
from duolearn_cli.report.measures import DASH, added_to

# What a group's option is called in its own settings; the first that varies stands for all that follows from it.
OPTION_NAMES = ("name", "_target_")


@dataclass(frozen=True, slots=True)
class Job:
    """One job of a sweep. `settings` are flat; `scores` is None for a job that left no metrics.json.

    `account` is that of a private run's model, `folder` where the job's files are; `flags` are the warnings of its
    metrics.json, `flagged` the measures that they are about; `gold` are gold's scores, where it was scored. `target` is
    the key of the target model, where run.json tells. `measures` are those that a user added, by key;
    `verdict` is that of its metrics.json.
    """

    name: str
    settings: Mapping[str, Any]
    scores: Mapping[str, Any] | None
    account: Account | None = None
    folder: Path | None = None
    flags: Sequence[str] = ()
    flagged: Sequence[str] = ()
    gold: Mapping[str, Any] = field(default_factory=dict)
    target: str | None = None
    measures: Mapping[str, Measure] = field(default_factory=dict)
    verdict: Mapping[str, Any] | None = None


def read_jobs(folder: Path) -> list[Job]:
    """The jobs of a sweep folder, in the order they were started."""
    folders = sorted((path for path in folder.iterdir() if path.is_dir()), key=_job_order) if folder.is_dir() else []
    return [read_job(path) for path in folders]


def _job_order(path: Path) -> tuple[bool, int, str]:
    # By number: as text, job 10 would come before job 2.
    return (not path.name.isdecimal(), int(path.name) if path.name.isdecimal() else 0, path.name)


def read_job(folder: Path) -> Job:
    """Read what the job left; a file that is missing or broken makes it a failed job, not a failed table."""
    import yaml

    try:
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        settings = dict(flatten(config))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError):
        settings = {}
    flags, flagged, gold, measures, verdict = (), (), {}, {}, None
    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        scores = (metrics["models"].get("unlearned") or {}).get("scores") or {}
        gold = (metrics["models"].get("gold") or {}).get("scores") or {}
        flags, flagged = (tuple(metrics.get(key) or ()) for key in ("flags", "flagged"))
        measures, verdict = added_to(metrics), metrics.get("verdict")
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        scores = None
    try:
        account = read_account(folder / "adapter")
    except RunError:
        account = None
    return Job(folder.name, settings, scores, account, folder, flags, flagged, gold, _target(folder), measures, verdict)


def _target(folder: Path) -> str | None:
    try:
        return json.loads((folder / "run.json").read_text(encoding="utf-8")).get("target_model")
    except (OSError, ValueError, AttributeError):
        return None


def added_by(jobs: Sequence[Job]) -> dict[str, Measure]:
    """The measures that a user added to any of the jobs, by key; of two descriptions the first."""
    found: dict[str, Measure] = {}
    for job in jobs:
        found = dict(job.measures) | found
    return found


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield ``a.b.c`` keys with their values; lists count as values."""
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def varying(jobs: Sequence[Job]) -> list[str]:
    """The settings that differ between jobs, without those that only follow from a group's choice of option."""
    known = [job for job in jobs if job.settings]
    keys = dict.fromkeys(key for job in known for key in job.settings)
    differing = [key for key in keys if len({value_of(job, key) for job in known}) > 1]
    return [key for key in differing if not _follows(key, differing, known)]


def _follows(key: str, differing: Sequence[str], jobs: Sequence[Job]) -> bool:
    """Tell whether the option of a group that `key` lies in already decides its value."""
    if key != "ablation" and "ablation" in differing and _decides("ablation", key, jobs):
        return True
    parents = key.split(".")[:-1]
    for depth in range(len(parents)):
        prefix = ".".join(parents[: depth + 1])
        option = next((f"{prefix}.{name}" for name in OPTION_NAMES if f"{prefix}.{name}" in differing), None)
        if option == key:
            return False
        if option and _decides(option, key, jobs):
            return True
    return False


def _decides(option: str, key: str, jobs: Sequence[Job]) -> bool:
    """Tell whether jobs with the same value of `option` have the same value of `key`."""
    pairs = {(value_of(job, option), value_of(job, key)) for job in jobs}
    return len(pairs) == len({value for value, _ in pairs})


def value_of(job: Job, key: str) -> str:
    if key not in job.settings:
        return DASH
    value = job.settings[key]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def is_seed(key: str) -> bool:
    return key.rpartition(".")[2] == "seed"


def seeds_of(jobs: Sequence[Job]) -> set[tuple[str, ...]]:
    """The distinct combinations of seeds among jobs."""
    return {tuple(value_of(job, key) for key in job.settings if is_seed(key)) for job in jobs}


def heading(key: str) -> str:
    """A setting as one would sweep over it: ``method`` for ``method._target_``."""
    group, _, last = key.rpartition(".")
    return group if group and last in OPTION_NAMES else key


def shown(job: Job, key: str) -> str:
    """A setting's value; of a class path, the class alone."""
    value = value_of(job, key)
    return value.rpartition(".")[2] if key.endswith("_target_") else value
