"""Check one job or all jobs of a sweep before any of them runs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from duolearn_cli.config.compose import compose, sweep_folder
from duolearn_cli.config.overrides import MAX_CHECKED_JOBS, choices, parsed_overrides, problems, refuse_deep
from duolearn_cli.errors import ConfigError
from duolearn_cli.pipeline.run_folder import is_empty

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override


def check_jobs(command: str, overrides: Sequence[str], multirun: bool, config_dir: str | None) -> None:
    """Compose and check a job, or a sweep.

    Raises:
        ConfigError: what is wrong with the first job or, if that is sound, with any other value.
    """
    refuse_deep(overrides)
    if multirun:
        _check_sweep(command, overrides, config_dir)
    else:
        checked_job(command, overrides, config_dir)


def checked_job(command: str, overrides: Sequence[str], config_dir: str | None) -> DictConfig:
    """Return the configuration of a single job. Raises ConfigError with everything that is wrong with it."""
    _refuse(_readable(overrides), multirun=False)
    return compose(command, overrides, config_dir)


def _check_sweep(command: str, overrides: Sequence[str], config_dir: str | None) -> None:
    """Check each value of a sweep once and, where all are sound, combinations."""
    parsed = parsed_overrides(overrides)
    _refuse(parsed, multirun=True)
    swept = choices(parsed, Path(config_dir) if config_dir else None)
    first = [values[0] for values in swept]
    _check_values(command, swept, config_dir)
    for job in itertools.islice(itertools.product(*swept), MAX_CHECKED_JOBS):
        # `_check_values` has composed every job that differs from the first one in a single value.
        if sum(value != other for value, other in zip(job, first, strict=True)) > 1:
            compose(command, list(job), config_dir)
    if any(override.key_or_group == "hydra.sweep.dir" for override in parsed):
        _check_sweep_folder(sweep_folder(command, first, config_dir))


def _check_values(command: str, swept: Sequence[Sequence[str]], config_dir: str | None) -> None:
    """Check each value beside the first ones of all other keys. Raises ConfigError for all unsound ones together."""
    first = [values[0] for values in swept]
    usual = compose(command, first, config_dir)
    faults: dict[str, None] = {}
    for position, values in enumerate(swept):
        jobs = [(first[position], usual)]
        for value in values[1:]:
            try:
                job = compose(command, [*first[:position], value, *first[position + 1 :]], config_dir)
            except ConfigError as error:
                faults |= dict.fromkeys(str(error).splitlines())
                continue
            # Values that are spelled in two ways, as 1 and 1.0 are, are known to be one only when they are composed.
            if same := next((one for one, other in jobs if other == job), None):
                faults[f"{same} and {value} are the same job; leave one of them out."] = None
            jobs.append((value, job))
    if faults:
        raise ConfigError("\n".join(faults))


def _refuse(parsed: Sequence[Override], multirun: bool) -> None:
    if refused := list(problems(parsed, multirun)):
        raise ConfigError("\n".join(refused))


def _readable(overrides: Sequence[str]) -> list[Override]:
    """All words parsed; none where one cannot be: composing says which it is, and why."""
    try:
        return parsed_overrides(overrides)
    except ConfigError:
        # The message of `compose` names the word; this check would only say it a second time.
        return []


def _check_sweep_folder(folder: Path) -> None:
    """Raise ConfigError for a folder that holds something: jobs would be written over those of an earlier sweep."""
    if folder.exists() and not (folder.is_dir() and is_empty(folder)):
        raise ConfigError(f"hydra.sweep.dir={folder}: there is something already; give a new or an empty folder.")
