"""Between the command line and a command: check the whole request first, then let Hydra run its one or many jobs."""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from duolearn_cli.composition import compose, register_schema
from duolearn_cli.errors import ConfigError, UserError
from duolearn_cli.folders import conf_dir

MAX_CHECKED_JOBS = 32


def launch(command: str, args: Sequence[str]) -> int:
    """Refuse what is wrong, then run the command's job or jobs; return the exit status.

    Raises:
        ConfigError: before anything has run or been written.
    """
    from hydra._internal.utils import get_args_parser

    parsed = get_args_parser().parse_args(list(args))
    if not (parsed.cfg or parsed.info or parsed.hydra_help):
        for overrides in _jobs(parsed.overrides, parsed.multirun):
            compose(command, overrides, parsed.config_dir)
    errors: list[UserError] = []

    def job(config: DictConfig) -> str | None:
        try:
            return _run_job(command, config)
        except UserError as error:
            # Hydra would print its own report of an exception and, in a sweep, drop the jobs that follow.
            errors.append(error)
            if parsed.multirun:
                print(f"error: {error}", file=sys.stderr)
        return None

    _hydra_main(job, command, args)
    if errors and not parsed.multirun:
        raise errors[0]
    if errors:
        print(f"{len(errors)} jobs of the sweep failed; their messages are above.", file=sys.stderr)
    return 1 if errors else 0


def _run_job(command: str, config: DictConfig) -> str | None:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from duolearn_cli.commands.common import Invocation

    module = importlib.import_module(f"duolearn_cli.commands.{command}")
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir) if hydra.mode == RunMode.MULTIRUN else None
    return module.run(config, Invocation(list(hydra.overrides.task), folder))


def _jobs(overrides: Sequence[str], multirun: bool) -> Iterator[list[str]]:
    """The override lists to check: one job's, or every combination of a sweep (each value once when very many)."""
    if not multirun:
        yield list(overrides)
        return
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise ConfigError(str(error)) from error
    choices = [
        [f"{o.get_key_element()}={value}" for value in o.sweep_string_iterator()]
        if o.is_sweep_override() and o.is_discrete_sweep()
        else [str(o.input_line)]
        for o in parsed
        if not o.is_sweep_override() or o.is_discrete_sweep()
    ]
    combinations = itertools.product(*choices)
    total = 1
    for values in choices:
        total *= len(values)
    if total <= MAX_CHECKED_JOBS:
        yield from map(list, combinations)
        return
    for position, values in enumerate(choices):
        for value in values:
            yield [*(c[0] for c in choices[:position]), value, *(c[0] for c in choices[position + 1 :])]


def _hydra_main(job: Any, command: str, args: Sequence[str]) -> None:
    import hydra

    register_schema()
    sys.argv = ["duolearn", *args]
    hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=command)(job)()


def hydra_completion(command: str, args: Sequence[str]) -> int:
    """Answer Hydra's shell-completion protocol for one command."""
    _hydra_main(lambda config: None, command, args)
    return 0
