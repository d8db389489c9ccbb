"""Where files are (configuration, embedded assets, the user's cache), how to read one, and to write one atomically."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from duolearn_cli.errors import RunError, UserError

# What helps when the system refuses a file or folder.
FIXES = {
    errno.EACCES: "permission denied; allow this user to use it (chmod, chown), or give another path",
    errno.EPERM: "the system does not permit it; give another path",
    errno.EROFS: "the file system is read-only; give another path",
    errno.ENOSPC: "the disk is full; free some space, or give another path",
    errno.EDQUOT: "the disk quota is used up; free some space, or give another path",
    errno.ENAMETOOLONG: "the name is too long for this file system; give a shorter one",
    errno.ENOTDIR: "a part of this path is a file, not a folder",
    errno.EISDIR: "this is a folder; give the path of a file",
    errno.ENOENT: "there is no such file or folder",
    errno.ELOOP: "its symbolic links lead in a circle",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n)",
    errno.EIO: "the disk reports an error",
}
# Files with texts of the user: for the owner's eyes.
PRIVATE = 0o600
PACKAGE = Path(__file__).parent
ASSETS = PACKAGE / "assets"


def conf_dir() -> Path:
    """Return the configuration folder: in the package when installed from a wheel, else beside it in a checkout."""
    return _beside("conf")


def docs_dir() -> Path:
    """Return the folder of the documentation, wherever messages say "docs/PAGE.md": as `conf_dir`."""
    return _beside("docs")


def _beside(name: str) -> Path:
    installed = PACKAGE / name
    return installed if installed.is_dir() else PACKAGE.parent / name


def cache_dir(configured: str | None) -> Path:
    """Return the folder for target and gold models and fetched weights.

    `configured` comes first, then the environment variable DUOLEARN_CACHE, then the operating system's cache folder.
    """
    chosen = configured or os.environ.get("DUOLEARN_CACHE")
    if chosen:
        return expanded(chosen, "cache_dir" if configured else "DUOLEARN_CACHE")
    import platformdirs

    return Path(platformdirs.user_cache_dir("duolearn"))


def expanded(path: str | Path, setting: str) -> Path:
    """Return a path with ``~`` replaced by the home folder. Raises RunError for ``~name`` of an unknown user."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise RunError(f"{setting}={path}: there is no user of this name; give a path.") from error


def groups(extra: Path | None = None) -> dict[str, dict[str, str]]:
    """Return the configuration groups as {group: {option: description}}, read from our folder and from `extra`."""
    # The folders are the registry: a new method or data set is one YAML file, and no list in the code names it.
    options: dict[str, dict[str, str]] = {}
    for root in filter(None, (conf_dir(), extra)):
        for path in sorted(root.glob("*/*.yaml")):
            options.setdefault(path.parent.name, {})[path.stem] = first_comment(path)
    return options


def first_comment(path: Path) -> str:
    """Return the description of a YAML file: its first comment that is not a package directive, or an empty string."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ").strip()
    return ""


def file_hash(path: Path) -> str:
    """The SHA-256 of a file, in hex digits."""
    import hashlib  # help does not need it

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def reason(error: OSError | ValueError) -> str:
    """Say why the system refused a file, and what helps. A ValueError means a NUL in the path."""
    if not isinstance(error, OSError):
        return "a path cannot contain a NUL character"
    return FIXES.get(error.errno or 0) or error.strerror or str(error)


def checked_file(path: Path, error: type[UserError] = RunError, name: str | None = None) -> Path:
    """Return `path` if it is a file that can be opened. A pipe or a device is none: it may never end.

    Args:
        error: the class of the error.
        name: how messages call the path; by default the path itself.

    Raises:
        UserError: an `error`; the message names the path, the reason and what helps.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "")
        if not stat.S_ISREG(mode):
            raise error(f"{name or path}: this is a pipe, a socket or a device; give the path of a regular file.")
        path.open("rb").close()
    except (OSError, ValueError) as refused:
        raise error(f"{name or path}: cannot be read: {reason(refused)}.") from refused
    return path


def read_bytes(path: Path, error: type[UserError] = RunError, name: str | None = None) -> bytes:
    """Return the content of a file. Raises as `checked_file`."""
    try:
        return checked_file(path, error, name).read_bytes()
    except OSError as refused:
        raise error(f"{name or path}: cannot be read: {reason(refused)}.") from refused


def read_text(path: Path, error: type[UserError] = RunError, name: str | None = None) -> str:
    """Return the text of a UTF-8 file. Raises as `checked_file`, and for bytes that are not UTF-8."""
    try:
        return read_bytes(path, error, name).decode("utf-8")
    except UnicodeDecodeError as broken:
        raise error(f"{name or path}: not UTF-8 text (byte {broken.start:,}); it is damaged.") from broken


def read_json(path: Path, error: type[UserError] = RunError, name: str | None = None) -> Any:
    """Return the value of a JSON file. Raises as `read_text`, and for text that is not JSON."""
    try:
        return json.loads(read_text(path, error, name))
    except (ValueError, RecursionError) as broken:
        raise error(f"{name or path}: not valid JSON ({broken}); it is damaged.") from broken


def make_folder(path: Path, name: str | None = None) -> Path:
    """Create a folder and those above it, and check that files can be written there.

    Raises:
        RunError: the message names the path, the reason and what helps.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(errno.EROFS if os.statvfs(path).f_flag & os.ST_RDONLY else errno.EACCES, "")
    except FileExistsError as refused:
        raise RunError(f"{name or path}: this is a file, not a folder; give another path.") from refused
    except (OSError, ValueError) as refused:
        raise RunError(f"{name or path}: cannot be written: {reason(refused)}.") from refused
    return path


def write_text(path: Path, text: str, mode: int = 0o666) -> None:
    """Write a text file atomically (a temporary file, then a rename), so that a reader never sees half of it.

    The file and its name are on the disk when this returns: a power cut leaves the old file or the new one.

    Args:
        mode: who may read and write it, less what the umask takes away.

    Raises:
        RunError: the file cannot be written, or something that is no regular file has its name.
    """
    # The process id keeps two processes that write the same file apart until the rename.
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.exists() and not path.is_file():
            raise RunError(f"{path}: this is no regular file; it is not replaced. Give another path.")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with os.fdopen(os.open(part, flags, mode), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(path.parent)
    except UnicodeError:
        raise  # a lone surrogate is no fault of the path
    except (OSError, ValueError) as refused:
        raise RunError(f"{path} cannot be written: {reason(refused)}.") from refused
    finally:
        with suppress(OSError, ValueError):
            part.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: a rename that is not synced may be undone by a power cut."""
    with suppress(OSError):  # some network file systems cannot sync a folder
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; NaN and infinities become null."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """Return the text that `write_json` writes. The same value gives the same bytes."""
    return json.dumps(finite(value), indent=2, ensure_ascii=False) + "\n"


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, atomically, for the owner's eyes; NaN and infinities become null."""
    write_text(path, "".join(json.dumps(finite(row), ensure_ascii=False) + "\n" for row in rows), PRIVATE)


def appended(path: Path) -> TextIO:
    """Open a text file of the owner's to append to. A symbolic link is not followed: it may lead anywhere.

    Raises:
        RunError: it cannot be opened.
    """
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        return os.fdopen(os.open(path, flags, PRIVATE), "a", encoding="utf-8")
    except OSError as refused:
        raise RunError(f"{path} cannot be written: {reason(refused)}.") from refused


def finite(value: Any) -> Any:
    """Return `value` with NaN and infinities replaced by None, at any depth. JSON has neither."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return value
