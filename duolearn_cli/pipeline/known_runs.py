"""The run folders below a folder, as their files tell, without checking their settings: older ones count too."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.run_lock import is_running


@dataclass(frozen=True, slots=True)
class KnownRun:
    """A run folder with its settings and what run.json says."""

    folder: Path
    config: dict[str, Any]
    info: dict[str, Any]

    @property
    def command(self) -> str:
        return str(self.config.get("command"))

    @property
    def target(self) -> str | None:
        """The cached target model's name."""
        return self.info.get("target_model")

    @property
    def gold(self) -> str | None:
        return self.info.get("gold_model")

    @property
    def scored(self) -> Path | None:
        """The run that this one scores or attacks."""
        given = self.config.get("run")
        return Path(given).expanduser().resolve() if given else None

    @property
    def is_running(self) -> bool:
        return is_running(self.folder, self.info)

    def run(self) -> Run:
        return Run(self.folder)


def known_runs(*roots: Path) -> list[KnownRun]:
    """Every run folder below these folders, or one of them, each once."""
    # The search is recursive because the runs of sweeps and benchmarks lie in their folders.
    folders = {path.parent.resolve() for root in roots if root.is_dir() for path in root.rglob("run.json")}
    return [run for folder in sorted(folders) if (run := read_known(folder))]


def read_known(folder: Path) -> KnownRun | None:
    """One run folder; None where its files cannot be read."""
    import yaml

    with suppress(OSError, ValueError, yaml.YAMLError):
        info = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        if isinstance(info, dict) and isinstance(config, dict):
            return KnownRun(folder, config, info)
    return None


def models_in_use(runs: Iterable[KnownRun]) -> set[str]:
    """Names of the cached models that runs under way have begun with."""
    return {name for run in runs if run.is_running for name in (run.target, run.gold) if name}


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a JSON-lines file that are objects; none where it is missing or broken from there on."""
    with suppress(OSError, ValueError), path.open(encoding="utf-8") as file:
        yield from (row for line in file if isinstance(row := json.loads(line), dict))
