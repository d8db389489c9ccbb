"""DuoLearn from Python: each function runs the command with its name and returns what the run leaves.

    from duolearn_cli import unlearn

    run = unlearn("+forget=surgery", "split.max_forget=20")
    run.metrics["models"]["unlearned"]["scores"]["knowledge_preservation"]["value"]

Settings are the words of the command line, or a configuration that `configure` has made and whose fields may be set
before it is used. The run folder, the checks and the messages are those of the command. Mistakes raise
`duolearn_cli.errors.UserError`. A Hydra application that is running, or a notebook's, stays as it is.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.cli.commands.common import Invocation
from duolearn_cli.cli.jobs import checked_job
from duolearn_cli.cli.positional import normalised
from duolearn_cli.config.check import check
from duolearn_cli.config.overrides import with_own_names
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.errors import ConfigError, RunError
from duolearn_cli.pipeline.run_folder import Run, check_run_folder


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A finished run.

    Attributes:
        folder: the run folder; outputs/README.md describes its files.
        metrics: the content of metrics.json; docs/metrics.md describes it.
        config: the resolved configuration.
        adapter: the folder of the adapter; None if the run left none, as `evaluate` does.
        report: report.html; None if the run wrote none.
    """

    folder: Path
    metrics: Mapping[str, Any] = field(repr=False)
    config: RunConfig = field(repr=False)
    adapter: Path | None
    report: Path | None

    @classmethod
    def read(cls, folder: str | Path) -> FinishedRun:
        """Read the folder of an earlier run. Raises RunError if it is no run folder, or holds no metrics."""
        opened, config = Run.open(Path(folder))
        path = opened.folder / "metrics.json"
        if not path.is_file():
            raise RunError(f"{path} does not exist: this run of `{config.command}` is {opened.info['status']}.")
        metrics = json.loads(path.read_text(encoding="utf-8"))
        adapter, report = (_existing(opened.folder / name) for name in ("adapter", "report.html"))
        return cls(opened.folder, metrics, cast(RunConfig, config), adapter, report)


def unlearn(*overrides: str, config: RunConfig | None = None, config_dir: str | Path | None = None) -> FinishedRun:
    """Forget: make target and gold where the cache lacks them, unlearn, evaluate all models.

    Args:
        overrides: settings as on the command line, ``"+forget=surgery", "method.beta=0.2"``.
        config: a configuration of `configure("unlearn", ...)` instead of overrides.
        config_dir: a folder with configuration groups of your own.

    Raises:
        UserError: whatever the command refuses, with its message.
    """
    return _finished("unlearn", overrides, config, config_dir)


def evaluate(*overrides: str, config: RunConfig | None = None, config_dir: str | Path | None = None) -> FinishedRun:
    """Score a finished run (``"run=FOLDER"``), an adapter (``"adapter=FOLDER"``) or the base model; see `unlearn`."""
    return _finished("evaluate", overrides, config, config_dir)


def learn(*overrides: str, config: RunConfig | None = None, config_dir: str | Path | None = None) -> FinishedRun:
    """Make the target model and score it beside the base model; see `unlearn`."""
    return _finished("learn", overrides, config, config_dir)


def retrain(*overrides: str, config: RunConfig | None = None, config_dir: str | Path | None = None) -> FinishedRun:
    """Make the gold model, which never learned the target, and score it beside the base model; see `unlearn`."""
    return _finished("retrain", overrides, config, config_dir)


def configure(command: str, *overrides: str, config_dir: str | Path | None = None) -> RunConfig:
    """Return the checked configuration of a command. Its fields can be set; OmegaConf checks their types.

    Raises:
        ConfigError: every problem, one in a line.
    """
    return cast(RunConfig, checked_job(command, _words(overrides), _text(config_dir)))


def _finished(
    command: str, overrides: Sequence[str], config: RunConfig | None, config_dir: str | Path | None
) -> FinishedRun:
    words, own_groups = _words(overrides), _text(config_dir)
    if config is None:
        settings = checked_job(command, words, own_groups)
    elif words:
        raise ConfigError(f"{words[0]}: a configuration is given too; set its fields instead of overrides.")
    else:
        settings = _checked(command, config, own_groups)
    if settings.dry_run:
        raise ConfigError(f"dry_run=true: a dry run leaves nothing to return; use duolearn {command} --dry-run.")
    if settings.run_dir:
        check_run_folder(Path(settings.run_dir))
    # Imported by name, as the command line does: the other commands are not needed.
    module = importlib.import_module(f"duolearn_cli.cli.commands.{command}")
    return FinishedRun.read(module.run(settings, Invocation(words, None, own_groups)))


def _words(overrides: Sequence[str]) -> list[str]:
    """Return overrides as the command line reads them. Raises ConfigError for Hydra's settings: it runs no job here."""
    words = with_own_names([normalised(word) for word in overrides])
    if refused := [word for word in words if word.lstrip("+~").startswith(("hydra.", "hydra/"))]:
        raise ConfigError(f"{refused[0]}: Hydra runs no job of the Python API; leave it out.")
    return words


def _checked(command: str, config: RunConfig, config_dir: str | None) -> DictConfig:
    """Return a checked copy of a given configuration. Raises ConfigError, as overrides would."""
    given: Any = config
    # Commands complete their configuration; the caller's must stay as it is.
    settings: DictConfig = given.copy() if isinstance(given, DictConfig) else OmegaConf.structured(given)
    if settings.command != command:
        raise ConfigError(f"this is a configuration of {settings.command}; make it with configure({command!r}, ...).")
    for name in ("resume", "run"):
        if folder := settings.get(name):
            raise ConfigError(f"{name}={folder}: that run has its own configuration; give {command}('{name}=FOLDER').")
    if problems := list(check(settings, Path(config_dir) if config_dir else None)):
        raise ConfigError("\n".join(problems))
    return settings


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None


def _text(path: str | Path | None) -> str | None:
    return None if path is None else str(path)
