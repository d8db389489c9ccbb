"""After a sweep: one table of its jobs, with only the settings that vary."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from duolearn_cli.evaluation.measures import MEASURES, of_table
from duolearn_cli.evaluation.measures.measure import Measure
from duolearn_cli.files import write_json, write_text
from duolearn_cli.report.job_lights import count_lights, lights_table
from duolearn_cli.report.jobs import (
    Job,
    added_by,
    heading,
    is_seed,
    read_jobs,
    seeds_of,
    shown,
    value_of,
    varying,
)
from duolearn_cli.report.measures import cell_of, heading_of
from duolearn_cli.report.price import Together, price_table, released_together, sweep_note
from duolearn_cli.report.tables import FLAGGED, Table, markdown_text, number

if TYPE_CHECKING:
    from duolearn_cli.report.summary_page import Summary

# A terminal shows the first warnings, at most so many; sweep.md has all.
MOST_WARNINGS = 20


class SweepTable(Callback):
    """Hydra callback that prints the results of a finished sweep and writes sweep.md and sweep.json beside its jobs."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        # Hydra imports this file for every command: what needs SciPy waits until a sweep has ended.
        from duolearn_cli.report.averages import ONE_TARGET, shares_target
        from duolearn_cli.report.summary_page import write_summary
        from duolearn_cli.report.terminal import Display

        folder = Path(config.hydra.sweep.dir)
        if config.get("dry_run"):
            # Hydra makes the folder, which was new or empty (launch.py); a dry run leaves nothing.
            shutil.rmtree(folder, ignore_errors=True)
            remove_empty(folder.parent, Path(config.output_dir))
            return
        jobs = read_jobs(folder)
        # Each audit or bench has said what it found, and has no scores.
        if jobs and config.get("command") not in ("audit", "bench", "benchmark"):
            together = released_together(jobs)
            means = over_seeds(jobs)
            tables = [table for table in (sweep_table(jobs), means, price_table(jobs)) if table]
            said, warned, note = [*verdicts(jobs), *beside_mia(jobs)], warnings(jobs), sweep_note(jobs, together)
            said += [ONE_TARGET] if means and shares_target(jobs) else []
            write_sweep(folder, jobs, tables, [*said, *warned, *filter(None, [note])], together)
            write_summary(
                folder / "sweep.html", summary_of(folder, jobs, tables, [*said, *filter(None, [note])], warned)
            )
            display = Display()
            for table in tables if display.plain else [lights_table(jobs), *tables[1:]]:
                display.table(table)
            left = len(warned) - MOST_WARNINGS
            shown = [*warned[:MOST_WARNINGS], *([f"{left} more warnings: see sweep.md"] if left > 0 else [])]
            for line in filter(None, (count_lights(jobs), *said, *shown, note)):
                display.note(line)
            display.path(folder / "sweep.html")


def remove_empty(folder: Path, last: Path) -> None:
    """Remove `folder` and those above it, up to `last`, as far as nothing is in them."""
    try:
        while folder.is_relative_to(last):
            folder.rmdir()
            folder = folder.parent
    except OSError:
        return


def sweep_table(jobs: Sequence[Job]) -> Table:
    """One row a job: the settings that vary, the scores with their intervals, and which job it was."""
    settings, measures = varying(jobs), of_table("sweep", added_by(jobs))
    labels = [heading_of(one, [(job.scores or {}).get(key) for job in jobs]) for key, one in measures.items()]
    rows = []
    for job in jobs:
        scores = job.scores or {}
        cells = [cell_of(one, scores.get(key)) + FLAGGED * (key in job.flagged) for key, one in measures.items()]
        name = f"{job.name}, failed" if job.scores is None else job.name
        rows.append((*(shown(job, key) for key in settings), *cells, name))
    header = (*map(heading, settings), *labels, "job")
    note = f";{FLAGGED}: see the warnings" if any(FLAGGED in text for row in rows for text in row) else ""
    return Table(f"Sweep, with 95 % intervals{note}", header, tuple(rows), num_text=len(settings))


def by_settings(jobs: Sequence[Job], settings: Sequence[str]) -> dict[tuple[str, ...], list[Job]]:
    """The jobs by their values of `settings`: of those that vary but seeds, the jobs that differ in seeds only."""
    groups: dict[tuple[str, ...], list[Job]] = {}
    for job in jobs:
        groups.setdefault(tuple(value_of(job, key) for key in settings), []).append(job)
    return groups


def verdicts(jobs: Sequence[Job]) -> list[str]:
    """What was found, a sentence for each group of jobs that differ in their seeds only: from the least to the most."""
    settings = [key for key in varying(jobs) if not is_seed(key)]
    measures, found = of_table("verdict", added_by(jobs)), []
    for group in by_settings(jobs, settings).values():
        name = " ".join(f"{heading(key)}={shown(group[0], key)}" for key in settings) or "all jobs"
        failed = sum(job.scores is None for job in group)
        warned = sum(bool(job.flags) for job in group)
        spreads = {key: _spread([job.scores or {} for job in group], one) for key, one in measures.items()}
        parts = [f"{measures[key].name} {spread}" for key, spread in spreads.items() if spread]
        parts += [f"warnings in {warned} of {len(group)} jobs"] if warned else []
        parts += [f"{failed} of {len(group)} jobs failed"] if failed else []
        found.append(f"{name}: {'; '.join(parts) or 'no scores'}.")
    return found


def beside_mia(jobs: Sequence[Job]) -> list[str]:
    """What to compare MIA scores with: gold's, and the value that so few facts give if nothing differs."""
    found = []
    for measure in filter(lambda one: one.expected, of_table("sweep").values()):
        beside = MEASURES[measure.expected or ""]
        of_gold = _spread([job.gold for job in jobs], measure)
        expected = _spread([job.scores or {} for job in jobs], beside)
        parts = [f"gold {of_gold}"] if of_gold else []
        parts += [f"if members did not differ from non-members {expected}"] if expected else []
        found += [f"{measure.name}: {'; '.join(parts)}."] if parts else []
    return found


def _spread(scores: Sequence[Mapping[str, Any]], measure: Measure) -> str:
    """Least and most of a score over jobs, in its unit; empty where none has it."""
    found = [number((one.get(measure.key) or {}).get("value")) for one in scores]
    values = [value for value in found if value is not None]
    ends = [cell_of(measure, {"value": end(values)}) for end in (min, max)] if values else []
    return " to ".join(dict.fromkeys(ends)) + (" %" if measure.percent and ends else "")


def warnings(jobs: Sequence[Job]) -> list[str]:
    """Every warning of the jobs once, with the jobs that it is about."""
    names: dict[str, list[str]] = {}
    for job in jobs:
        for sentence in job.flags:
            names.setdefault(sentence, []).append(job.name)
    return [f"job{'s' * (len(own) > 1)} {', '.join(own)}: {sentence}" for sentence, own in names.items()]


def over_seeds(jobs: Sequence[Job]) -> Table | None:
    """Mean of each score over jobs that differ in their seeds only; None where no two jobs do.

    Intervals are at 95 %, over seeds and facts together: the jobs ask the same facts.
    """
    from duolearn_cli.report.answers import Answers
    from duolearn_cli.report.averages import mean_over_jobs

    settings = [key for key in varying(jobs) if not is_seed(key)]
    groups = list(by_settings([job for job in jobs if job.scores is not None], settings).values())
    if not any(len(seeds_of(group)) > 1 for group in groups):
        return None
    measures, rows = of_table("sweep", added_by(jobs)), []
    for group in groups:
        answers = [Answers.read(job.folder) if job.folder else None for job in group]
        cells = (cell_of(one, mean_over_jobs(group, one, answers)) for one in measures.values())
        rows.append((*(shown(group[0], key) for key in settings), *cells, str(len(seeds_of(group)))))
    labels = map(heading_of, measures.values())
    header = (*map(heading, settings), *labels, "seeds")
    title = "Means over seeds, with 95 % intervals over seeds and facts together"
    return Table(title, header, tuple(rows), num_text=len(settings))


def summary_of(
    folder: Path, jobs: Sequence[Job], tables: Sequence[Table], remarks: Sequence[str], warned: Sequence[str]
) -> Summary:
    """What sweep.html shows."""
    from duolearn_cli.report.summary_page import Summary

    named = [job for job in jobs if job.folder and (job.folder / "report.html").is_file()]
    links = [(f"{job.name}: {_named(job, jobs)}", f"{job.name}/report.html") for job in named]
    shown_tables = [lights_table(jobs), *tables]
    return Summary(f"Sweep {folder.name}", count_lights(jobs), warned, remarks, shown_tables, links=links)


def _named(job: Job, jobs: Sequence[Job]) -> str:
    return " ".join(f"{heading(key)}={shown(job, key)}" for key in varying(jobs))


def write_sweep(
    folder: Path, jobs: Sequence[Job], tables: Sequence[Table], lines: Sequence[str], together: Together | None
) -> None:
    """Write sweep.md for people, `lines` below its tables, and sweep.json for programs."""
    settings, measures = varying(jobs), of_table("sweep", added_by(jobs))
    entries = [
        {
            "job": job.name,
            "status": "failed" if job.scores is None else "finished",
            "settings": {key: job.settings[key] for key in settings if key in job.settings},
            "scores": {key: (job.scores or {}).get(key) for key in measures},
            "flags": list(job.flags),
        }
        for job in jobs
    ]
    said = [table.markdown() for table in tables] + ["\n".join(f"- {markdown_text(line)}" for line in lines)]
    write_text(folder / "sweep.md", "\n\n".join([f"# Sweep {markdown_text(folder.name)}", *said]) + "\n")
    write_json(folder / "sweep.json", {"schema": 1, "jobs": entries} | (together.as_dict() if together else {}))
