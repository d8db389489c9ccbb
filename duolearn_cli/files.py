"""Where files lie (configuration, embedded assets, the user's cache), and how they are written: whole or not at all."""

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
    """The configuration folder: inside the package when installed from a wheel, else that of the checkout."""
    installed = PACKAGE / "conf"
    return installed if installed.is_dir() else PACKAGE.parent / "conf"


def cache_dir(configured: str | None) -> Path:
    """The folder for target and gold models and fetched weights: `configured`, $DUOLEARN_CACHE or the user's cache."""
    chosen = configured or os.environ.get("DUOLEARN_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("duolearn"))


def groups(extra: Path | None = None) -> dict[str, dict[str, str]]:
    """Return the configuration groups: {group: {option: its first comment line}}, read from the folders."""
    found: dict[str, dict[str, str]] = {}
    for root in filter(None, (conf_dir(), extra)):
        for path in sorted(root.glob("*/*.yaml")):
            found.setdefault(path.parent.name, {})[path.stem] = first_comment(path)
    return found


def first_comment(path: Path) -> str:
    """The first comment of a YAML file that is no package directive: its description."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ").strip()
    return ""


def write_text(path: Path, text: str) -> None:
    """Write by way of a temporary file, so that a reader never sees half of it. RunError where it cannot be."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(finite(value), indent=2, ensure_ascii=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    write_text(path, "".join(json.dumps(finite(row), ensure_ascii=False) + "\n" for row in rows))


def finite(value: Any) -> Any:
    """Replace NaN and infinities by null: JSON has neither."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return value
