"""After a sweep: one table of its jobs, with only the settings that vary."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from duolearn_cli.report.jobs import (
    Job,
    heading,
    is_seed,
    mean_over_seeds,
    read_jobs,
    seeds_of,
    shown,
    value_of,
    varying,
)
from duolearn_cli.report.price import Together, price_table, released_together, sweep_note
from duolearn_cli.report.tables import MEASURES, Table, markdown_text
from duolearn_cli.run import write_json, write_text

SCORES = ("forgetting_rate", "chance_corrected_forgetting", "knowledge_preservation", "hmta", "mia_score")


class SweepTable(Callback):
    """Hydra callback that prints the results of a finished sweep and writes sweep.md and sweep.json beside its jobs."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        # Hydra imports this file for every command: what needs SciPy waits until a sweep has ended.
        from duolearn_cli.report.hierarchical import over_seeds_and_facts
        from duolearn_cli.report.terminal import Display

        folder = Path(config.hydra.sweep.dir)
        if config.get("dry_run"):
            # Hydra makes the folder; a dry run leaves nothing.
            shutil.rmtree(folder, ignore_errors=True)
            return
        jobs = read_jobs(folder)
        # Each audit or bench has said what it found, and has no scores.
        if jobs and config.get("command") not in ("audit", "bench", "benchmark"):
            together = released_together(jobs)
            made = (sweep_table(jobs), over_seeds(jobs), over_seeds_and_facts(jobs), price_table(jobs))
            tables = [table for table in made if table]
            note = sweep_note(jobs, together)
            write_sweep(folder, jobs, tables, note, together)
            display = Display()
            for table in tables:
                display.table(table)
            for line in filter(None, (note, str(folder / "sweep.md"))):
                display.note(line)


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
        rows.append((*(shown(job, key) for key in settings), *cells, name))
    header = (*map(heading, settings), *labels, "job")
    return Table("Sweep, with 95 % intervals", header, tuple(rows), num_text=len(settings))


def over_seeds(jobs: Sequence[Job]) -> Table | None:
    """Mean of each score over jobs that differ in their seeds only; None where no two jobs do.

    Intervals are 95 % t-intervals over seeds: what another seed would give, items being as they are.
    """
    settings = [key for key in varying(jobs) if not is_seed(key)]
    groups: dict[tuple[str, ...], list[Job]] = {}
    for job in jobs:
        if job.scores is not None:
            groups.setdefault(tuple(value_of(job, key) for key in settings), []).append(job)
    if not any(len(seeds_of(group)) > 1 for group in groups.values()):
        return None
    measures = {key: MEASURES[key] for key in SCORES}
    rows = [
        (
            *(shown(group[0], key) for key in settings),
            *(measure.cell(mean_over_seeds(group, key)) for key, measure in measures.items()),
            str(len(seeds_of(group))),
        )
        for group in groups.values()
    ]
    labels = [measure.label + measure.arrow([]) for measure in measures.values()]
    header = (*map(heading, settings), *labels, "seeds")
    return Table("Means over seeds, with 95 % intervals over seeds", header, tuple(rows), num_text=len(settings))


def write_sweep(
    folder: Path, jobs: Sequence[Job], tables: Sequence[Table], note: str | None, together: Together | None
) -> None:
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
    said = [table.markdown() for table in tables] + ([markdown_text(note)] if note else [])
    write_text(folder / "sweep.md", "\n\n".join([f"# Sweep {markdown_text(folder.name)}", *said]) + "\n")
    write_json(folder / "sweep.json", {"schema": 1, "jobs": entries} | (together.as_dict() if together else {}))
