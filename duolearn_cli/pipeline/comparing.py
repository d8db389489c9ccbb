"""The runs of a comparison, read from their folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.config.verdict import verdict_limits
from duolearn_cli.errors import RunError
from duolearn_cli.evaluation.verdict import verdict
from duolearn_cli.pipeline.listed_runs import run_folders
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.report.answers import Answers
from duolearn_cli.report.compared import Compared, letter, refusals, without_places
from duolearn_cli.report.inputs import read_inputs
from duolearn_cli.report.jobs import flatten, read_job


def chosen_folders(words: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return the folders of the runs that words name, each once, and a note about each job that is left out.

    Raises:
        RunError: a folder is missing, is no run, sweep or benchmark, or fewer than two runs are left.
    """
    found: dict[Path, Path] = {}
    notes: list[str] = []
    for word in words:
        given = Path(word).expanduser()
        if not given.is_dir():
            raise RunError(f"{given}: there is no such folder.")
        for folder in run_folders(given):
            # A run that the user named must be whole. In a sweep or a benchmark, failed jobs are left out.
            if folder != given and not (folder / "metrics.json").is_file():
                notes.append(f"{folder} is left out: it did not finish")
                continue
            # By the resolved path: a run that is named alone and with its sweep must count once.
            found.setdefault(folder.resolve(), folder)
    if len(found) < 2:
        raise RunError(
            f"compare: {len(found)} finished run given; give two or more, or a sweep or a benchmark: duolearn compare "
            "RUN RUN"
        )
    return list(found.values()), notes


def read_compared(folders: Sequence[Path]) -> list[Compared]:
    """Read the runs, the first one as what others are compared with.

    Raises:
        RunError: a run cannot be read, unlearned nothing, or cannot be compared with the first one.
    """
    runs = [_read(folder, letter(place)) for place, folder in enumerate(folders)]
    # All refusals at once, or the user would have to start again for every run to leave out.
    if refused := list(refusals(runs)):
        raise RunError(
            "\n".join(f"{reason}." for reason in refused) + "\nOnly runs with one target and the same data can be "
            "compared: leave out the others, or compare them among themselves."
        )
    return runs


def _read(folder: Path, label: str) -> Compared:
    inputs = read_inputs(folder)
    models = inputs.metrics["models"]
    if not (models.get("target") and models.get("unlearned")):
        raise RunError(
            f"{folder} is a run of `duolearn {inputs.run.get('command')}` in which nothing was unlearned; give runs of "
            "`duolearn unlearn`, or of `duolearn evaluate run=RUN`."
        )
    _, config = Run.open(folder)
    settings = without_places(dict(flatten(_plain(config))))
    # Runs of older versions have no verdict in metrics.json.
    found = inputs.metrics.get("verdict") or verdict(inputs.metrics, verdict_limits(inputs.config))
    job = replace(read_job(folder), name=label, settings=settings, verdict=found)
    title = str(inputs.run.get("name") or folder.name)
    return Compared(folder, title, job, inputs.metrics, inputs.run, Answers.read(folder))


def _plain(config: DictConfig) -> Mapping[str, Any]:
    """The configuration with the defaults of settings that it is too old to have."""
    return cast(Mapping[str, Any], OmegaConf.to_container(config, resolve=True))
