"""The input of a report: the files of a run folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duolearn_cli.errors import RunError
from duolearn_cli.report.tables import present

SCHEMA = 1
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

    metrics, run = (_json(folder / name, _read(folder / name)) for name in ("metrics.json", "run.json"))
    if metrics.get("schema") != SCHEMA or not isinstance(metrics.get("models"), dict):
        schema = metrics.get("schema")
        raise RunError(f"{folder / 'metrics.json'}: schema {SCHEMA} with 'models' is needed, found schema {schema}.")
    config_path, target_path = folder / "config.yaml", folder / "target.json"
    try:
        config = yaml.safe_load(_read(config_path)) or {}
    except yaml.YAMLError as error:
        raise RunError(f"{config_path} is not YAML: {error}") from error
    target = _json(target_path, _read(target_path)) if target_path.is_file() else None
    examples = read_history(folder / EXAMPLES)
    return Inputs(metrics, read_history(folder / "history.jsonl"), config, run, target, examples)


def read_history(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a JSON Lines file, none if it does not exist. Raises RunError for a broken one."""
    lines = _read(path).splitlines() if path.is_file() else []
    return [_json(path, line) for line in lines if line.strip()]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing: the run did not finish, or this is not a run folder.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error


def _json(path: Path, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise RunError(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise RunError(f"{path}: a JSON object is needed, found {text[:40]!r}.")
    return value


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
