"""duolearn runs: the runs below a folder, the newest first."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from omegaconf import DictConfig

from duolearn_cli.cli.commands.common import Invocation
from duolearn_cli.errors import RunError
from duolearn_cli.pipeline.listed_runs import ListedRun, listed_runs, matching
from duolearn_cli.report.lights import SIGNS
from duolearn_cli.report.tables import DASH, Table
from duolearn_cli.report.terminal import Display

HEADER = ("Run", "Target", "Method", "Verdict", "Date", "Status", "Folder")
TITLE = "Verdict: forgotten, kept, not found by attacks, privacy; ✓ yes, ? not decided, ✗ no, - not asked for"


def run(config: DictConfig, invocation: Invocation) -> str:
    """List the runs below `runs.folders` or `output_dir`.

    Raises:
        RunError: a folder that was given does not exist.
    """
    folders = [Path(folder) for folder in config.runs.folders] or [Path(config.output_dir)]
    for folder in folders:
        if config.runs.folders and not folder.is_dir():
            raise RunError(f"{folder}: there is no such folder.")
    found = list(matching(listed_runs(*folders), config.runs.target, config.runs.tag))
    if config.runs.json:
        print(json.dumps([one.as_dict() for one in found], indent=2, ensure_ascii=False))
        return ""
    display = Display()
    if not found:
        display.note(f"no runs below {', '.join(map(str, folders))}{_filters(config)}")
        return ""
    display.show(runs_table(found))
    for one in found:
        if one.problem:
            display.note(f"damaged: {one.problem}")
    return ""


def runs_table(runs: Sequence[ListedRun]) -> Table:
    """One row for each run."""
    return Table(TITLE, HEADER, tuple(map(_row, runs)), num_text=len(HEADER))


def _row(run: ListedRun) -> tuple[str, ...]:
    title = " ".join([run.name or run.folder.name, *(f"#{tag}" for tag in run.tags)])
    signs = " ".join(SIGNS[state] for state in (run.lights or {}).values())
    said = (run.target, run.method, signs, _date(run.created), run.status)
    return (title, *(text or DASH for text in said), os.path.relpath(run.folder))


def _date(created: str | None) -> str:
    """The local time to the minute; the text itself if it is no time."""
    try:
        return datetime.fromisoformat(created or "").astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return created or DASH


def _filters(config: DictConfig) -> str:
    wanted = [f"runs.{key}={config.runs[key]}" for key in ("target", "tag") if config.runs[key] is not None]
    return f" with {' and '.join(wanted)}" if wanted else ""
