"""The input of a report: the files of a run folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duolearn_cli.config.typed_json import Types, read_lines, read_object
from duolearn_cli.errors import RunError
from duolearn_cli.files import read_text
from duolearn_cli.report.tables import present

SCHEMA = 1
METRICS: Mapping[str, Types] = {
    "models": (dict,),
    "forget": (str,),
    "forget_subjects": (list, type(None)),
    "model": (str,),
    "method": (str,),
    "dataset": (str,),
    "seed": (int,),
    "flags": (list,),
    "cost": (dict, type(None)),
    "data": (dict, type(None)),
    "change": (dict, type(None)),
    "geometry": (dict, type(None)),
}
NEEDED = ("models", "forget", "model", "method")
# The questions that the report shows, one a line.
EXAMPLES = "examples.jsonl"


@dataclass(frozen=True, slots=True)
class Inputs:
    """The contents of a run folder's files: metrics.json, history.jsonl, config.yaml, run.json, target.json,
    examples.jsonl.
    """

    metrics: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]]
    config: Mapping[str, Any]
    run: Mapping[str, Any]
    target: Mapping[str, Any] | None = None
    examples: Sequence[Mapping[str, Any]] = ()


def read_inputs(folder: Path) -> Inputs:
    """Read a run folder. history.jsonl and target.json may be missing: not every command writes them.

    Raises:
        RunError: a file is missing or cannot be read.
    """
    import yaml

    metrics = read_object(_there(folder / "metrics.json"), METRICS, SCHEMA, NEEDED)
    run = read_object(_there(folder / "run.json"), {"command": (str,)}, SCHEMA)
    config_path, target_path = folder / "config.yaml", folder / "target.json"
    try:
        config = yaml.safe_load(read_text(_there(config_path))) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RunError(f"{config_path} is not YAML: {error}") from error
    if not isinstance(config, dict):
        raise RunError(f"{config_path}: a YAML object is needed, found {str(config)[:40]!r}.")
    target = read_object(target_path, {}) if target_path.is_file() else None
    examples = read_history(folder / EXAMPLES)
    return Inputs(metrics, read_history(folder / "history.jsonl"), config, run, target, examples)


def read_history(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a JSON Lines file, none if it does not exist. Raises RunError for a broken one."""
    return read_lines(path, {}) if path.exists() or path.is_symlink() else []


def _there(path: Path) -> Path:
    if not path.exists() and not path.is_symlink():
        raise RunError(f"{path} is missing: the run did not finish, or this is not a run folder.")
    return path


@contextmanager
def damage_named(folder: Path) -> Iterator[None]:
    """Name the folder where its files do not hold what a table or figure needs.

    `read_inputs` checks the types of what every report reads. What lies deeper is different in every run.

    Raises:
        RunError: a value is missing, or is of another type.
    """
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise RunError(
            f"{folder / 'metrics.json'}, or a file beside it, does not hold what a report needs ({said}). It was "
            "changed or damaged, or is of another version. Fix: score the run again with duolearn evaluate run=RUN."
        ) from error


def forget_subjects(inputs: Inputs) -> set[str]:
    """Return the subjects to forget: those in metrics.json or, for older runs, those that the forget target names."""
    stated = inputs.metrics.get("forget_subjects")
    if stated is not None:
        return set(stated)
    target = inputs.config.get("forget") or {}
    named = target.get("subjects") or [*target.get("concepts", ()), inputs.metrics["forget"]]
    words = {str(name).replace("_", " ").casefold() for name in named}
    subjects = {s for name in present(inputs.metrics) for s in inputs.metrics["models"][name].get("subjects") or {}}
    return {subject for subject in subjects if subject.casefold() in words}
