"""A run folder and everything in it. Files are complete whenever they exist; run.json says how the run ended."""

from __future__ import annotations

import json
import logging
import os
import platform
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.config.preset_limits import limits_of
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.config.typed_json import Types, read_lines, read_object
from duolearn_cli.config.version import __version__
from duolearn_cli.errors import RunError, UserError
from duolearn_cli.files import appended, finite, reason, write_json, write_jsonl, write_text
from duolearn_cli.pipeline.run_lock import held
from duolearn_cli.pipeline.saved_config import saved_configuration

SCHEMA = 1
# The types of what other code reads in run.json and history.jsonl.
INFO: Mapping[str, Types] = {
    "status": (str,),
    "command": (str,),
    "error": (str, type(None)),
    "overrides": (list,),
    "tags": (list,),
    "limits": (dict,),
    "seeds": (dict,),
    "versions": (dict,),
    "purged": (dict, type(None)),
    "pid": (int,),
    "created": (str,),
    "started": (str,),
    "weights": (str,),
    "data": (str,),
    "signature": (str,),
    "target_model": (str,),
    "gold_model": (str,),
}
HISTORY: Mapping[str, Types] = {"stage": (str,), "step": (int,)}
LIBRARIES = ("torch", "transformers", "peft", "accelerate", "hydra-core", "omegaconf", "numpy", "scipy")
# The maximum number of levels from an adapter or model up to its run folder: RUN/adapter, RUN/checkpoints/step-N.
PARENTS = 3
log = logging.getLogger("duolearn")


class Run:
    """An open run folder. outputs/README.md describes its format."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, config: RunConfig, overrides: Iterable[str], sweep_folder: Path | None = None) -> Run:
        """Create a folder that no other run has, and write the resolved configuration and run.json into it.

        `overrides` are those of the command line. In a sweep, Hydra has made `sweep_folder` for this job.

        Raises:
            RunError: the folder cannot be made, or holds something.
        """
        run = cls(sweep_folder or _own_folder(config))
        run.folder.mkdir(parents=True, exist_ok=True)
        # Resolved, because a run that is resumed reads it without Hydra and its resolvers.
        write_text(run.folder / "config.yaml", OmegaConf.to_yaml(config, resolve=True))
        write_json(
            run.folder / "run.json",
            {
                "schema": SCHEMA,
                "command": config.command,
                "overrides": list(overrides),
                "name": config.name,
                "tags": list(config.tags),
                "status": "created",
                "error": None,
                "created": _now(),
                # For commands that score the model later, with a configuration of their own.
                "limits": {"model": config.model.name, **limits_of(config)},
                "seeds": {"seed": config.seed, "learn": config.learn.seed, "split": config.split.seed},
                "versions": {"duolearn": __version__, "python": platform.python_version()}
                | {name: version(name) for name in LIBRARIES},
                "platform": platform.platform(),
            },
        )
        return run

    @classmethod
    def open(cls, folder: Path) -> tuple[Run, DictConfig]:
        """Open an existing run folder. Return it with its configuration. Raises RunError if it is not a run folder."""
        try:
            is_one = all(path.exists() or path.is_symlink() for path in (folder / "run.json", folder / "config.yaml"))
        except (OSError, ValueError) as error:
            raise RunError(f"{folder}: cannot be read: {reason(error)}.") from error
        if not is_one:
            raise RunError(f"{folder} is not a run folder: it needs run.json and config.yaml.")
        run = cls(folder)
        _ = run.info  # raises RunError for what is no run.json
        return run, saved_configuration(folder / "config.yaml")

    @classmethod
    def around(cls, path: Path) -> tuple[Run, DictConfig] | None:
        """Open the run folder that contains an adapter's or a model's folder, or is it. Return None without one."""
        for folder in [path.resolve(), *path.resolve().parents][: PARENTS + 1]:
            with suppress(RunError):
                return cls.open(folder)
        return None

    @property
    def info(self) -> dict[str, Any]:
        """The content of run.json. Raises RunError where it is damaged or of a newer version."""
        return read_object(self.folder / "run.json", INFO, SCHEMA)

    def update(self, **values: Any) -> None:
        """Set fields of run.json."""
        write_json(self.folder / "run.json", self.info | values)

    def fix(self, **values: Any) -> None:
        """Set fields of run.json that must not change later. Raises RunError if one has another value already."""
        known = self.info
        changed = [name for name, value in values.items() if known.get(name, value) != value]
        if changed:
            made = {"weights": "base weights", "data": "data", "signature": "settings, precision or kind of device"}
            # A release that changes the hierarchy or a method changes the signature too.
            version = " (or with another version of duolearn)" if "signature" in changed else ""
            raise RunError(
                f"{self.folder}: this run began with other {' and '.join(made[name] for name in changed)}{version}. "
                "Fix: restore them, or start a new run."
            )
        # A run of an older version may lack a field: it is then added, not compared.
        if values.keys() - known.keys():
            self.update(**values)

    def record(self, values: Mapping[str, Any]) -> None:
        """Append one line to history.jsonl."""
        with appended(self.folder / "history.jsonl") as file:
            file.write(json.dumps(finite(values)) + "\n")

    def forget_history_after(self, stage: str, step: int) -> None:
        """Drop the lines of `stage` after `step`, because a resumed run computes these steps again."""
        path = self.folder / "history.jsonl"
        if path.is_file():
            lines = read_lines(path, HISTORY)
            write_jsonl(path, [line for line in lines if line["stage"] != stage or line["step"] <= step])

    @contextmanager
    def active(self) -> Iterator[None]:
        """Log to the folder, and write into run.json how the run ended: finished, interrupted or failed.

        Raises:
            RunError: another process is running in the folder.
        """
        with held(self.folder, self.info), self.logged():
            self.update(status="running", started=_now(), pid=os.getpid(), host=platform.node())
            try:
                yield
            except KeyboardInterrupt:
                self.update(status="interrupted", ended=_now())
                raise
            except BaseException as error:
                self.update(status="failed", ended=_now(), error=f"{type(error).__name__}: {error}")
                log.error("failed: %s", error, exc_info=not isinstance(error, UserError))
                raise
            self.update(status="finished", ended=_now(), error=None)

    @contextmanager
    def logged(self) -> Iterator[None]:
        """Append log messages to log.txt."""
        file = appended(self.folder / "log.txt")
        handler = logging.StreamHandler(file)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        try:
            yield
        finally:
            log.removeHandler(handler)
            handler.close()
            file.close()


def run_name(config: RunConfig) -> str:
    if config.command == "audit":
        return f"audit-{config.audit.kind}-{config.forget.name}"
    if config.command in ("unlearn", "evaluate"):
        method = str(config.method._target_).rpartition(".")[2].lower()
        return f"{config.command}-{method}-{config.forget.name}"
    return f"{config.command}-{config.forget.name}"


def planned_folder(config: RunConfig) -> str:
    """Return the name that the run folder will have, with DATE and TIME in place of the time."""
    return config.run_dir or str(Path(config.output_dir) / "DATE" / f"TIME-{run_name(config)}")


def is_empty(folder: Path) -> bool:
    return not any(folder.iterdir())


def check_run_folder(folder: Path) -> None:
    """Raise RunError unless `folder` is new or empty: no run overwrites another."""
    try:
        if folder.exists() and not folder.is_dir():
            raise RunError(f"run_dir={folder} (hydra.run.dir): that is a file; give a new or an empty folder.")
        is_taken = folder.exists() and not is_empty(folder)
    except (OSError, ValueError) as error:
        raise RunError(f"run_dir={folder} (hydra.run.dir): it cannot be used: {reason(error)}.") from error
    if is_taken:
        command = None
        with suppress(RunError):  # whatever lies there, it is not written over
            command = Run(folder).info.get("command")
        resume = f", or continue that run: duolearn {command} resume={folder}" * (command in ("unlearn", "benchmark"))
        raise RunError(f"run_dir={folder} (hydra.run.dir): it is not empty; give a new or an empty folder{resume}.")


def _own_folder(config: RunConfig) -> Path:
    """Create the folder that the configuration names, or a new one in `output_dir`."""
    if not config.run_dir:
        return _exclusive_folder(Path(config.output_dir), run_name(config))
    folder = Path(config.run_dir)
    check_run_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Mode "x" is atomic: if two runs begin in one folder at once, the second one fails here.
        (folder / "run.json").open("x").close()
    except FileExistsError as error:
        raise RunError(
            f"run_dir={folder} (hydra.run.dir): another run has just begun there; give another folder."
        ) from error
    except OSError as error:
        raise RunError(f"run_dir={folder} (hydra.run.dir): it cannot be created: {reason(error)}.") from error
    return folder


def free_folder(run_dir: str | None, output_dir: str, name: str) -> Path:
    """Create a folder for files that are no run: exactly `run_dir`, new or empty, or a new one in `output_dir`.

    Raises:
        RunError: the folder holds something, or cannot be made.
    """
    if not run_dir:
        return _exclusive_folder(Path(output_dir), name)
    folder = Path(run_dir)
    check_run_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"run_dir={folder}: it cannot be created: {reason(error)}.") from error
    return folder


def _exclusive_folder(root: Path, name: str) -> Path:
    """Create OUTPUT_DIR/DATE/TIME-NAME. A second run of the same second gets the suffix -2, and so on."""
    now = datetime.now()
    for attempt in range(1, 1000):
        suffix = "" if attempt == 1 else f"-{attempt}"
        folder = root / now.strftime("%Y-%m-%d") / f"{now.strftime('%H-%M-%S')}-{name}{suffix}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise RunError(f"output_dir={root}: the run folder cannot be created: {reason(error)}.") from error
        return folder
    raise RunError(f"output_dir={root}: no free folder name for {name}.")


def check_space(folder: Path, needed: int) -> None:
    """Raise RunError if the file system of `folder` has fewer than `needed` free bytes."""
    try:
        existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
        free = shutil.disk_usage(existing).free
    except (OSError, ValueError) as error:
        raise RunError(f"output_dir or run_dir={folder}: it cannot be used: {reason(error)}.") from error
    if free < needed:
        raise RunError(
            f"{folder}: {free / 1e9:.1f} GB are free and {needed / 1e9:.1f} GB are needed; free some or set output_dir."
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
