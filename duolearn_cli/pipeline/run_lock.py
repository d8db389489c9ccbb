"""Whether a run is under way in a folder: a lock that the system releases when its process ends, however it ends."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from duolearn_cli.errors import RunError
from duolearn_cli.files import reason

LOCK = ".lock"


@contextmanager
def held(folder: Path, info: Mapping[str, Any]) -> Iterator[None]:
    """Hold the lock of a run folder; `info` is its run.json, for the message.

    Raises:
        RunError: another process holds it, or the lock's file cannot be written.
    """
    # A process of a version without locks: its id is all that there is.
    if not (folder / LOCK).exists() and is_running(folder, info):
        raise RunError(_taken(folder, info))
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunError(_taken(folder, info)) from error
    except OSError as error:
        raise RunError(f"{folder}: it cannot be locked: {reason(error)}.") from error
    try:
        yield
    finally:
        lock.release()


def _taken(folder: Path, info: Mapping[str, Any]) -> str:
    since, host = info.get("started") or "an unknown time", info.get("host") or platform.node()
    return f"process {info.get('pid')} on {host} is running in {folder} since {since}; wait for it or stop it first."


def is_running(folder: Path, info: Mapping[str, Any]) -> bool:
    """Whether a process runs in the folder. A status alone does not tell: a process that was killed leaves it."""
    if info.get("status") != "running":
        return False
    if (folder / LOCK).exists():
        return _is_locked(folder / LOCK, info)
    pid = info.get("pid")
    return isinstance(pid, int) and not isinstance(pid, bool) and is_alive(pid)


def _is_locked(path: Path, info: Mapping[str, Any]) -> bool:
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # another user's folder: the lock cannot be opened
        return info.get("host") == platform.node() and is_alive(int(info.get("pid", -1)))


def is_alive(pid: int) -> bool:
    """Return whether another process of this machine has this id."""
    # A run is checked before it writes its own id: if run.json has that id, an earlier process had it too.
    if pid == os.getpid() or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True  # another user's
    except (OSError, OverflowError):
        return False
    return True
