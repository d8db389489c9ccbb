"""The launch of a command: check the whole request first, then let Hydra run its job or jobs."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from duolearn_cli.cli.jobs import check_jobs
from duolearn_cli.config.compose import register_schema
from duolearn_cli.config.overrides import with_own_names
from duolearn_cli.errors import ConfigError, UserError, printable
from duolearn_cli.files import conf_dir
from duolearn_cli.pipeline.run_folder import check_run_folder


def launch(command: str, args: Sequence[str]) -> int:
    """Check the command line, run the command's job or jobs, and return the exit status.

    Raises:
        ConfigError: the command line is wrong; nothing has been run or written.
    """
    from hydra._internal.utils import get_args_parser

    args = with_own_names(args)
    parsed = get_args_parser().parse_args(args)
    if parsed.multirun and parsed.cfg:
        raise ConfigError("-m cannot be combined with --cfg: a sweep has many configurations.")
    if parsed.resolve and not parsed.cfg:
        raise ConfigError("--resolve needs --cfg job.")
    check_jobs(command, parsed.overrides, parsed.multirun, parsed.config_dir)
    errors: list[BaseException] = []

    def job(config: DictConfig) -> str | None:
        try:
            return _run_job(command, config, parsed.config_dir)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # panics of libraries in Rust are no Exceptions
            # Caught here: Hydra would print its own report and, in a sweep, skip the remaining jobs.
            errors.append(error)
            if parsed.multirun:
                print(f"error: {printable(_message(error))}", file=sys.stderr)
        return None

    _hydra_main(job, command, args)
    if errors and not parsed.multirun:
        raise errors[0]
    if errors:
        print(f"{len(errors)} jobs of the sweep failed; their messages are above.", file=sys.stderr)
    return 1 if errors else 0


def _message(error: BaseException) -> str:
    """Return the message of a `UserError`; any other error in one line, with its traceback in the job's log."""
    if isinstance(error, UserError):
        return str(error)
    from hydra.core.hydra_config import HydraConfig

    folder = Path(HydraConfig.get().runtime.output_dir)
    if not (folder / "log.txt").is_file():  # the job failed before it had a log
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "log.txt").write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    line = " ".join(f"{type(error).__name__}: {error}".split())
    return f"{line}; see log.txt in {folder}"


def _run_job(command: str, config: DictConfig, config_dir: str | None) -> str | None:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from duolearn_cli.cli.commands.common import Invocation

    module = importlib.import_module(f"duolearn_cli.cli.commands.{command}")
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir) if hydra.mode == RunMode.MULTIRUN else None
    if folder:
        _check_job_folder(folder, config)
    elif config.run_dir:
        check_run_folder(Path(config.run_dir))
    return module.run(config, Invocation(list(hydra.overrides.task), folder, config_dir))


def _check_job_folder(folder: Path, config: DictConfig) -> None:
    """Raise ConfigError if a job of a sweep would overwrite another one, or if `run_dir` names one folder for all."""
    if config.run_dir:
        raise ConfigError(f"run_dir={config.run_dir}: the jobs of a sweep have a folder each; leave it out.")
    if (folder / "run.json").exists():
        raise ConfigError(
            f"{folder}: another job is there; set hydra.sweep.subdir so that each job has its own folder."
        )


def _hydra_main(job: Any, command: str, args: Sequence[str]) -> None:
    """Run Hydra on a command. Its errors become ConfigErrors, in place of its own report and exit."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    register_schema()
    sys.argv = ["duolearn", *args]
    # With it, Hydra raises exceptions instead of printing them and exiting.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=command)(job)()
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(" ".join(f"{error} {error.__cause__ or ''}".split())) from error


def hydra_completion(command: str, args: Sequence[str]) -> int:
    """Answer a request of Hydra's shell completion about one command."""
    _hydra_main(lambda config: None, command, args)
    return 0
