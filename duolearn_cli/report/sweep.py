"""After a sweep: one table of its jobs, with only the settings that vary."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from duolearn_cli.report.tables import DASH, MEASURES, Table, markdown_text, number
from duolearn_cli.run import write_json, write_text

SCORES = ("forgetting_rate", "chance_corrected_forgetting", "knowledge_preservation", "hmta", "mia_score")
# What a group's option is called in its own settings; the first that varies stands for all that follows from it.
OPTION_NAMES = ("name", "_target_")


@dataclass(frozen=True, slots=True)
class Job:
    """One job of a sweep. `settings` are flat; `scores` is None for a job that left no metrics.json."""

    name: str
    settings: Mapping[str, Any]
    scores: Mapping[str, Any] | None


class SweepTable(Callback):
    """Hydra callback that prints the results of a finished sweep and writes sweep.md and sweep.json beside its jobs."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        from duolearn_cli.report.terminal import Display

        folder = Path(config.hydra.sweep.dir)
        if config.get("dry_run"):
            # Hydra makes the folder; a dry run leaves nothing.
            shutil.rmtree(folder, ignore_errors=True)
            return
        jobs = read_jobs(folder)
        if jobs:
            table = sweep_table(jobs)
            write_sweep(folder, jobs, table)
            display = Display()
            display.table(table)
            if seeds := over_seeds(jobs):
                display.table(seeds)
            display.note(f"{folder / 'sweep.md'}")


def read_jobs(folder: Path) -> list[Job]:
    """The jobs of a sweep folder, in the order they were started."""
    folders = sorted((path for path in folder.iterdir() if path.is_dir()), key=_job_order) if folder.is_dir() else []
    return [_read_job(path) for path in folders]


def _job_order(path: Path) -> tuple[bool, int, str]:
    return (not path.name.isdecimal(), int(path.name) if path.name.isdecimal() else 0, path.name)


def _read_job(folder: Path) -> Job:
    """Read what the job left; a file that is missing or broken makes it a failed job, not a failed table."""
    import yaml

    try:
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        settings = dict(flatten(config))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError):
        settings = {}
    try:
        models = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["models"]
        scores = (models.get("unlearned") or {}).get("scores") or {}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        scores = None
    return Job(folder.name, settings, scores)


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
    differing = [key for key in keys if len({_value(job, key) for job in known}) > 1]
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
    pairs = {(_value(job, option), _value(job, key)) for job in jobs}
    return len(pairs) == len({value for value, _ in pairs})


def _value(job: Job, key: str) -> str:
    if key not in job.settings:
        return DASH
    value = job.settings[key]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def sweep_table(jobs: Sequence[Job]) -> Table:
    """One row a job: the settings that vary, the scores with their intervals, and which job it was."""
    settings = varying(jobs)
    measures = [MEASURES[key] for key in SCORES]
    labels = [
        measure.label + measure.arrow([(job.scores or {}).get(key) for job in jobs])
        for key, measure in zip(SCORES, measures, strict=True)
    ]
    rows = []
    for job in jobs:
        scores = job.scores or {}
        cells = [measure.cell(scores.get(key)) for key, measure in zip(SCORES, measures, strict=True)]
        name = f"{job.name}, failed" if job.scores is None else job.name
        rows.append((*(_shown(job, key) for key in settings), *cells, name))
    header = (*map(_heading, settings), *labels, "job")
    return Table("Sweep, with 95 % intervals", header, tuple(rows), num_text=len(settings))


def over_seeds(jobs: Sequence[Job]) -> Table | None:
    """Mean of each score over jobs that differ in their seeds only; None where no two jobs do.

    Intervals are 95 % t-intervals over seeds: what another seed would give, items being as they are.
    """
    settings = [key for key in varying(jobs) if not _is_seed(key)]
    groups: dict[tuple[str, ...], list[Job]] = {}
    for job in jobs:
        if job.scores is not None:
            groups.setdefault(tuple(_value(job, key) for key in settings), []).append(job)
    if not any(len(_seeds(group)) > 1 for group in groups.values()):
        return None
    measures = {key: MEASURES[key] for key in SCORES}
    rows = [
        (
            *(_shown(group[0], key) for key in settings),
            *(measure.cell(_over(group, key)) for key, measure in measures.items()),
            str(len(_seeds(group))),
        )
        for group in groups.values()
    ]
    labels = [measure.label + measure.arrow([]) for measure in measures.values()]
    header = (*map(_heading, settings), *labels, "seeds")
    return Table("Means over seeds, with 95 % intervals over seeds", header, tuple(rows), num_text=len(settings))


def _is_seed(key: str) -> bool:
    return key.rpartition(".")[2] == "seed"


def _seeds(jobs: Sequence[Job]) -> set[tuple[str, ...]]:
    """The distinct combinations of seeds among jobs."""
    return {tuple(_value(job, key) for key in job.settings if _is_seed(key)) for job in jobs}


def _over(jobs: Sequence[Job], score: str) -> dict[str, Any] | None:
    """The mean of a score over jobs with its t-interval, as an estimate; None where no job has the score.

    No interval for fewer than three seeds, or where all agree: either would claim what so few values cannot tell.
    """
    found = [number((job.scores or {}).get(score, {}).get("value")) for job in jobs if (job.scores or {}).get(score)]
    values = [value for value in found if value is not None]
    if not values:
        return None
    mean = sum(values) / len(values)
    if len(values) < 3 or len(_seeds(jobs)) < len(jobs) or len(set(values)) == 1:
        return {"value": mean}
    from scipy import stats

    spread = (sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values)) ** 0.5
    half = float(stats.t.ppf(0.975, len(values) - 1)) * spread
    return {"value": mean, "low": mean - half, "high": mean + half}


def _heading(key: str) -> str:
    """A setting as one would sweep over it: ``method`` for ``method._target_``."""
    group, _, last = key.rpartition(".")
    return group if group and last in OPTION_NAMES else key


def _shown(job: Job, key: str) -> str:
    """A setting's value; of a class path, the class alone."""
    value = _value(job, key)
    return value.rpartition(".")[2] if key.endswith("_target_") else value


def write_sweep(folder: Path, jobs: Sequence[Job], table: Table) -> None:
    """Write sweep.md for people and sweep.json for programs."""
    settings = varying(jobs)
    entries = [
        {
            "job": job.name,
            "status": "failed" if job.scores is None else "finished",
            "settings": {key: job.settings[key] for key in settings if key in job.settings},
            "scores": {key: (job.scores or {}).get(key) for key in SCORES},
        }
        for job in jobs
    ]
    tables = [shown.markdown() for shown in (table, over_seeds(jobs)) if shown]
    write_text(folder / "sweep.md", "\n\n".join([f"# Sweep {markdown_text(folder.name)}", *tables]) + "\n")
    write_json(folder / "sweep.json", {"schema": 1, "jobs": entries})
