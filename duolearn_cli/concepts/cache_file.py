"""JSON in the user's cache: whole or not at all, with a checksum; a file that is damaged counts as none."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

_SCHEMA = 1


def content_hash(value: object) -> str:
    """SHA-256 of a value's JSON: the name of a file that follows from the value."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def read(path: Path) -> Any:
    """What was written, or None where there is no file or its content is not what was written."""
    try:
        head, _, body = path.read_text(encoding="utf-8").partition("\n")
    except (OSError, ValueError):
        return None
    return json.loads(body) if head == _head(body) else None


def write(path: Path, value: object) -> None:
    """Write by way of a temporary file. A folder that cannot be written is no obstacle: a cache only saves time."""
    body = json.dumps(value, separators=(",", ":")) + "\n"
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(f"{_head(body)}\n{body}", encoding="utf-8")
        part.replace(path)
    with suppress(OSError):
        part.unlink(missing_ok=True)


def _head(body: str) -> str:
    return json.dumps({"schema": _SCHEMA, "sha256": hashlib.sha256(body.encode()).hexdigest()})
