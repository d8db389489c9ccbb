"""Run folders for lists: what each one is, when it ran and what it found, whatever state its files are in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from duolearn_cli.errors import RunError
from duolearn_cli.pipeline.run_lock import is_running
from duolearn_cli.report.lights import lights_of

# Either file makes a folder a run folder: of a damaged one the other may be gone.
FILES = ("run.json", "config.yaml")
DAMAGED, BROKEN_OFF = "damaged", "broken off"


@dataclass(frozen=True, slots=True)
class ListedRun:
    """One run folder.

    Attributes:
        status: that of run.json; `BROKEN_OFF` if the process is gone, `DAMAGED` if files cannot be read.
        created: the date in ISO 8601, None if unknown.
        sentence: the verdict in words; None if there is none.
        lights: by key the state of each light: green, amber, red or off.
        problem: what is wrong with a damaged folder.
    """

    folder: Path
    status: str
    name: str | None = None
    tags: tuple[str, ...] = ()
    command: str | None = None
    target: str | None = None
    method: str | None = None
    created: str | None = None
    sentence: str | None = None
    lights: Mapping[str, str] | None = None
    problem: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The run as JSON."""
        return {key: getattr(self, key) for key in self.__slots__} | {"folder": str(self.folder)}


def listed_runs(*roots: Path) -> list[ListedRun]:
    """Return every run below these folders once, the newest first. Runs without a date come last."""
    found = {path.parent.resolve(): path.parent for root in roots for name in FILES for path in root.rglob(name)}
    return sorted(map(read_listed, found.values()), key=lambda run: (run.created or "", str(run.folder)), reverse=True)


def read_listed(folder: Path) -> ListedRun:
    """Read one run folder. A file that is missing or broken makes it a damaged one, not an error."""
    try:
        info, config = _json(folder / "run.json"), _yaml(folder / "config.yaml")
    except RunError as error:
        return ListedRun(folder, DAMAGED, problem=str(error))
    known = {
        "name": _text(info.get("name")),
        "tags": tuple(map(str, info.get("tags") or ())),
        "command": _text(info.get("command")),
        "target": _text(_node(config, "forget").get("name")),
        "method": str(_node(config, "method").get("_target_") or "").rpartition(".")[2] or None,
        "created": _text(info.get("created")),
    }
    try:
        sentence, lights = _verdict(folder, config)
    except RunError as error:
        return ListedRun(folder, DAMAGED, **known, problem=str(error))
    return ListedRun(folder, _status(folder, info), **known, sentence=sentence, lights=lights)


def _verdict(folder: Path, config: Mapping[str, Any]) -> tuple[str | None, dict[str, str] | None]:
    """The verdict's sentence and lights; nothing for a run that has no metrics yet, or unlearned nothing."""
    path = folder / "metrics.json"
    if not path.is_file():
        return None, None
    metrics = _json(path)
    try:
        sentence, lights = lights_of(metrics, config)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        # Some other program's file, or one that was cut: what is missing may be anything.
        raise RunError(f"{path} holds no metrics of a run ({type(error).__name__}: {error}).") from error
    return sentence or None, {light.key: light.state for light in lights} or None


def _status(folder: Path, info: Mapping[str, Any]) -> str:
    # A process that was killed leaves "running" behind.
    is_gone = info.get("status") == "running" and not is_running(folder, info)
    return BROKEN_OFF if is_gone else str(info.get("status"))


def run_folders(folder: Path) -> list[Path]:
    """Return the folders of the runs that a folder stands for: itself, or the runs of a sweep or a benchmark.

    Raises:
        RunError: it is none of these.
    """
    if (folder / "benchmark.json").is_file() or (folder / "runs").is_dir():
        found = sorted(path.parent for path in (folder / "runs").rglob("run.json"))
    elif (folder / "run.json").is_file():
        return [folder]
    else:
        found = sorted((path.parent for path in folder.glob("*/run.json")), key=_number)
    if not found:
        raise RunError(f"{folder} is no run, sweep or benchmark: neither it nor a folder in it has a run.json.")
    return found


def _number(folder: Path) -> tuple[bool, int, str]:
    # By number: as text, job 10 would come before job 2.
    return (not folder.name.isdecimal(), int(folder.name) if folder.name.isdecimal() else 0, folder.name)


def _node(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    node = config.get(key)
    return node if isinstance(node, Mapping) else {}


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _json(path: Path) -> dict[str, Any]:
    return _object(path, lambda text: json.loads(text))


def _yaml(path: Path) -> dict[str, Any]:
    return _object(path, yaml.safe_load)


def _object(path: Path, parse: Any) -> dict[str, Any]:
    try:
        value = parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise RunError(f"{path} cannot be read: {' '.join(str(error).split())[:120]}.") from error
    if not isinstance(value, dict):
        raise RunError(f"{path} cannot be read: it holds no object.")
    return value


def matching(runs: list[ListedRun], target: str | None, tag: str | None) -> Iterator[ListedRun]:
    """The runs that forget `target` and have `tag`, as far as these are given."""
    for run in runs:
        if (target is None or run.target == target) and (tag is None or tag in run.tags):
            yield run
