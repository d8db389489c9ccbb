"""The cache of learned models: folders under content hashes, each learned by one run at a time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from duolearn_cli.config.environment import difference, environment, read_environment
from duolearn_cli.files import write_json
from duolearn_cli.model.adapter_files import ADAPTER_FILE, CONFIG_FILE
from duolearn_cli.pipeline import keys
from duolearn_cli.pipeline.study import Study
from duolearn_cli.privacy.account import FILE

# Raise this when a change of code changes what is recorded about a model that is in the cache already.
RECORDS = 3


@dataclass(frozen=True, eq=False)
class ModelCache:
    """Where the models of one study are kept, and what is recorded about them. It never holds a model in memory.

    Attributes:
        root: the cache folder of the user.
        base_key: `keys.base_key` of the base model as it is loaded.
    """

    root: Path
    study: Study
    base_key: str

    def key(self, which: str) -> str:
        """Content hash of what determines ``base``, ``target`` or ``gold``: see `keys.model_key`."""
        return keys.model_key(self.study, self.base_key, which)

    def signature(self) -> str:
        """Content hash of what determines the unlearned model: see `keys.signature`."""
        return keys.signature(self.study, self.key("target"))

    def folder(self, which: str) -> Path:
        """The folder of a model, which need not exist."""
        return self.root / "models" / f"{which}-{self.key(which)}"

    def digest(self, which: str) -> str:
        """SHA-256 of the adapter in the cache. Two private trainings with the same key leave different adapters."""
        return keys.file_hash(self.folder(which) / ADAPTER_FILE)

    def history(self, which: str) -> list[dict[str, Any]]:
        """The learning curve of a target or gold model; empty for a model that the user gave."""
        path = self.folder(which) / "history.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []

    def made_in(self, which: str) -> dict[str, Any] | None:
        """The environment that a model was learned in; None where that is unknown, or the user gave the model."""
        is_given = which == "target" and self.study.config.adapter
        return None if is_given else read_environment(self.folder(which))

    def environment_warning(self, which: str, device: torch.device) -> str:
        """The warning that a model was learned in another environment than this one; empty if it was not."""
        return difference(which, self.made_in(which), environment(device))

    def record(self, which: str, kind: str, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` returns about a model, as JSON: read from the cache if it has it, else made and written there."""
        path = self.folder(which) / f"{kind}-{keys.content_hash([RECORDS, key])}.json"
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
        value = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, value)
        return value


@contextmanager
def alone(folder: Path, note: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a model's `folder`: of runs that need the same model at once, one learns it, the others wait."""
    lock = FileLock(folder.with_suffix(".lock"))
    try:
        lock.acquire(timeout=1)
    except Timeout:
        note(f"another run is learning {folder.name}: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def adopt(given: Path, folder: Path) -> None:
    """Copy a given adapter, with its account, to where a learned one would be."""
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for name in (ADAPTER_FILE, CONFIG_FILE, FILE):
        if (given / name).is_file():
            shutil.copy(given / name, part)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
