"""What is said about an error that no other code has explained: one line, with the traceback in a file."""

from __future__ import annotations

import os
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from duolearn_cli.errors import UserError, printable
from duolearn_cli.files import cache_dir, reason

# Set it to see the traceback instead.
DEBUG = "DUOLEARN_TRACEBACK"


def explained(error: BaseException, words: Sequence[str] = ()) -> tuple[int, str]:
    """Return the exit status and the message of an error; `words` are those of the command line.

    A file system that refuses, and memory that is used up, are the user's to fix. All else is a fault of ours, or of a
    library: the message says where the traceback is.
    """
    if isinstance(error, UserError):
        return error.status, printable(str(error))
    if isinstance(error, OSError) and error.filename is not None:
        path = os.fsdecode(error.filename)
        return 2, printable(f"{_setting(path, words)}{path}: {reason(error)}.")
    if isinstance(error, OSError) and error.errno:
        return 2, f"the system refused to read or write: {reason(error)}."
    if isinstance(error, MemoryError):
        return 2, "the memory is used up; a smaller batch size, model or data set needs less."
    said = printable(" ".join(f"{type(error).__name__}: {error}".split()))[:300]
    return 1, (
        f"{said}. This is a fault of duolearn or of a library, not of your settings. The traceback is in "
        f"{_logged(error)}; please report it, without what is private in it."
    )


def _setting(path: str, words: Sequence[str]) -> str:
    """The setting of the command line that names a path, or a folder above it: ``resume=``; empty for none."""
    pairs = (word.partition("=") for word in words)
    return next((f"{key}=" for key, _, value in pairs if value and value.removeprefix("~") in path), "")


def _logged(error: BaseException) -> Path | str:
    """Write the traceback into the cache or, where that cannot be written, into the temporary folder."""
    text = "".join(traceback.format_exception(error))
    for folder in (_errors(), Path(tempfile.gettempdir())):
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"duolearn-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
            # A traceback may quote a user's texts: for the owner's eyes.
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            return path
    return f"no file, because none could be written; {DEBUG}=1 shows it"


def _errors() -> Path:
    try:
        return cache_dir(None) / "errors"
    except UserError:
        return Path(tempfile.gettempdir())
