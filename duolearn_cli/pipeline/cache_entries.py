"""What the user's cache holds: models, mentions, fetched weights, each with its size, age and last use."""

from __future__ import annotations

import fnmatch
import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from duolearn_cli.config.deploy import CacheConfig
from duolearn_cli.errors import RunError

KINDS = ("models", "mentions", "weights")
DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A folder or file of the cache. Times are seconds since the epoch."""

    kind: str
    path: Path
    size: int
    made: float
    used: float

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def lock(self) -> Path:
        """The file that whoever learns or loads this model holds."""
        return self.path.with_suffix(".lock")


def entries(root: Path) -> list[Entry]:
    """Everything in the cache, by kind and name. Locks are no entries, and half-written models are."""
    paths = ((kind, path) for kind in KINDS for path in sorted((root / kind).glob("*")))
    # Half-written models stay in: what a killed process left takes space like any other.
    return [_entry(kind, path) for kind, path in paths if path.suffix != ".lock"]


def _entry(kind: str, path: Path) -> Entry:
    stats = [one.stat() for one in files_of(path)] or [path.stat()]
    lock = path.with_suffix(".lock")
    # `alone` touches the lock at each use; of other files the system keeps the last reading, to a day.
    touched = [lock.stat().st_mtime] if kind == "models" and lock.is_file() else [one.st_atime for one in stats]
    made = min(one.st_mtime for one in stats)
    return Entry(kind, path, sum(one.st_size for one in stats), made, max(made, *touched))


def files_of(path: Path) -> list[Path]:
    """The files of an entry, which is a folder or a file itself."""
    return sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]


def chosen(found: Sequence[Entry], settings: CacheConfig, now: float | None = None) -> list[Entry]:
    """The entries for which everything holds that `settings` say."""
    now = time.time() if now is None else now
    return [
        entry
        for entry in found
        if (settings.older_than is None or now - entry.made >= settings.older_than * DAY)
        and (settings.unused is None or now - entry.used >= settings.unused * DAY)
        and (not settings.names or any(fnmatch.fnmatchcase(entry.name, name) for name in settings.names))
    ]


def unknown_names(found: Sequence[Entry], names: Sequence[str]) -> list[str]:
    """Names that no entry has."""
    return [name for name in names if not any(fnmatch.fnmatchcase(entry.name, name) for entry in found)]


def in_use(found: Sequence[Entry], running: Collection[str]) -> Iterator[tuple[Entry, str]]:
    """Entries that must stay, and why: a run learns or loads them now, or a `running` run began with them."""
    for entry in found:
        if entry.name in running:
            yield entry, "a run that is under way uses it"
        elif entry.kind == "models" and not _is_free(entry.lock):
            yield entry, "another run is learning or loading it"


def _is_free(lock: Path) -> bool:
    try:
        # Only the lock itself tells whether a model is in use. Its file stays behind after every use.
        with FileLock(lock, timeout=0):
            return True
    except Timeout:
        return False


def delete(path: Path) -> None:
    """Delete a model's folder while nobody else can learn or load it, or anything else.

    The lock file stays: it is empty, and whoever waits for it must find the same one.

    Raises:
        RunError: another run holds the model, or it cannot be deleted.
    """
    if path.parent.name != "models" or not path.is_dir():
        _remove(path)
        return
    lock = FileLock(path.with_suffix(".lock"), timeout=0)
    try:
        with lock:
            # First out of the way as a whole: half a model must not pass for one.
            gone = path.with_name(f".{path.name}.gone")
            path.replace(gone)
            _remove(gone)
    except Timeout as error:
        raise RunError(f"{path}: another run is learning or loading it; wait for it, or stop it first.") from error
    except OSError as error:
        raise RunError(f"{path} cannot be deleted: {error.strerror}.") from error


def _remove(path: Path) -> None:
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"{path} cannot be deleted: {error.strerror}.") from error
