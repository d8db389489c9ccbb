"""The cache of learned models: one folder per model, named by its content hash, written by one run at a time."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from duolearn_cli.config.environment import difference, environment, read_environment
from duolearn_cli.errors import RunError
from duolearn_cli.files import json_text, write_json, write_text
from duolearn_cli.model.adapter_files import ADAPTER_FILE, CONFIG_FILE
from duolearn_cli.model.manifest import damage, moved_into_place
from duolearn_cli.pipeline import keys
from duolearn_cli.pipeline.study import Study
from duolearn_cli.privacy.account import FILE

# Part of the key of every record. Raise it when a change of code changes the results about a model that is cached.
RECORDS = 3
# The suffix of the file with a result's SHA-256, beside it.
CHECKSUM = ".sha256"


@dataclass(frozen=True, eq=False)
class ModelCache:
    """The folders of one study's models and the results recorded about them. It holds no model in memory.

    Attributes:
        root: the user's cache folder.
        base_key: `keys.base_key` of the loaded base model.
    """

    root: Path
    study: Study
    base_key: str

    def key(self, which: str) -> str:
        """Return the content hash of ``base``, ``target`` or ``gold``; see `keys.model_key`."""
        return keys.model_key(self.study, self.base_key, which)

    def signature(self) -> str:
        """Return the content hash of the unlearned model; see `keys.signature`."""
        return keys.signature(self.study, self.key("target"))

    def folder(self, which: str) -> Path:
        """Return the folder of a model. It may not exist yet."""
        return self.root / "models" / f"{which}-{self.key(which)}"

    def digest(self, which: str) -> str:
        """Return the SHA-256 of the adapter in the cache. Private learning gives another adapter each time."""
        return keys.file_hash(self.folder(which) / ADAPTER_FILE)

    def history(self, which: str) -> list[dict[str, Any]]:
        """Return the learning curve of a target or gold model; empty for a model that ``adapter=`` names."""
        path = self.folder(which) / "history.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []

    def made_in(self, which: str) -> dict[str, Any] | None:
        """Return the environment that a model was learned in, None if unknown or if ``adapter=`` names the model."""
        is_adopted = which == "target" and self.study.config.adapter
        return None if is_adopted else read_environment(self.folder(which))

    def environment_warning(self, which: str, device: torch.device) -> str:
        """Return a warning if a model was learned in another environment than this one, else an empty string."""
        return difference(which, self.made_in(which), environment(device))

    def record(self, which: str, kind: str, key: Any, make: Callable[[], Any]) -> Any:
        """Return a result about a model, a JSON value: read it from the cache, or call `make` and write it there."""
        path = self.folder(which) / f"{kind}-{keys.content_hash([RECORDS, key])}.json"
        is_whole, value = _recorded(path)
        if is_whole:
            return value
        value = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        # The old result goes first and the checksum comes before the new one: no two of them ever disagree for good.
        path.unlink(missing_ok=True)
        write_text(path.with_suffix(CHECKSUM), hashlib.sha256(json_text(value).encode()).hexdigest() + "\n")
        write_json(path, value)
        return value


@contextmanager
def alone(folder: Path, note: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a model's `folder`. If several runs need the same model, one learns it and the others wait."""
    lock = FileLock(folder.with_suffix(".lock"))
    try:
        # The second attempt has no time limit: learning may take hours. The first one is short so that the user soon
        # learns why nothing happens.
        lock.acquire(timeout=1)
    except Timeout:
        note(f"another run is learning {folder.name}: waiting for it")
        lock.acquire()
    # The time of the last use, for `duolearn cache`.
    os.utime(lock.lock_file)
    try:
        yield
    finally:
        lock.release()


def adopt(adapter: Path, folder: Path) -> None:
    """Copy the user's adapter and its privacy account into a cache folder, where a learned model would be."""
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for name in (ADAPTER_FILE, CONFIG_FILE, FILE):
        if (adapter / name).is_file():
            shutil.copy(adapter / name, part)
    shutil.rmtree(folder, ignore_errors=True)
    moved_into_place(part, folder)


def is_usable(folder: Path, note: Callable[[str], None]) -> bool:
    """Return whether a model is in the cache and whole. A damaged one is removed, with a line that says so.

    Raises:
        RunError: a damaged model was learned privately. Learning it again would spend its privacy a second time, so the
            user decides.
    """
    if not (folder / ADAPTER_FILE).is_file():
        return False
    fault = damage(folder)
    if fault is None:
        return True
    if (folder / FILE).is_file():
        raise RunError(
            f"{folder}: the cached model is damaged: {fault}. It was learned privately; learning it again spends "
            "privacy again. Restore the folder from a copy, or delete it to learn the model again."
        )
    note(f"warning: the cached model {folder} is damaged: {fault}; it is removed and made again")
    shutil.rmtree(folder)
    return False


def _recorded(path: Path) -> tuple[bool, Any]:
    """Return whether a cached result is there and whole, and its value. Results of older versions have no checksum."""
    check = path.with_suffix(CHECKSUM)
    try:
        data = path.read_bytes()
        if check.is_file() and check.read_text(encoding="ascii").strip() != hashlib.sha256(data).hexdigest():
            return False, None
        return True, json.loads(data)
    except (OSError, ValueError, RecursionError):
        return False, None
