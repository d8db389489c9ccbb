"""Where files are (configuration, embedded assets, the user's cache), and how to write one atomically."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from duolearn_cli.errors import RunError

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
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("duolearn"))


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


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically (a temporary file, then a rename), so that a reader never sees half of it.

    Raises:
        RunError: the file cannot be written.
    """
    # The process id keeps two processes that write the same file apart until the rename.
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; NaN and infinities become null."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """Return the text that `write_json` writes. The same value gives the same bytes."""
    return json.dumps(finite(value), indent=2, ensure_ascii=False) + "\n"


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, atomically; NaN and infinities become null."""
    write_text(path, "".join(json.dumps(finite(row), ensure_ascii=False) + "\n" for row in rows))


def finite(value: Any) -> Any:
    """Return `value` with NaN and infinities replaced by None, at any depth. JSON has neither."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return value
