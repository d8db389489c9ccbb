"""JSON files in the user's cache, written atomically and with a checksum. A damaged file counts as missing.

A file has two lines: a head with the schema and the SHA-256 of the body, and the body.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

_SCHEMA = 1  # part of the head: a file of another schema counts as missing


def content_hash(value: object) -> str:
    """Return the SHA-256 of a value's JSON, in hexadecimal. A cache file is named by what determines its content."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def read(path: Path) -> Any:
    """Return what `write` wrote, or None if the file is missing or damaged."""
    try:
        head, _, body = path.read_text(encoding="utf-8").partition("\n")
    except (OSError, ValueError):
        return None
    return json.loads(body) if head == _head(body) else None


def write(path: Path, value: object) -> None:
    """Write `value` atomically (a temporary file, then a rename). A folder that cannot be written is ignored."""
    # Errors are suppressed because a cache only saves time: a run on a read-only disk must still work.
    body = json.dumps(value, separators=(",", ":")) + "\n"
    # The process id is in the name, so that two runs never write into the same temporary file.
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(f"{_head(body)}\n{body}", encoding="utf-8")
        part.replace(path)
    with suppress(OSError):
        part.unlink(missing_ok=True)


def _head(body: str) -> str:
    return json.dumps({"schema": _SCHEMA, "sha256": hashlib.sha256(body.encode()).hexdigest()})
