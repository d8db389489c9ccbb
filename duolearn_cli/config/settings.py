"""How settings are declared: dataclass fields that carry what validation checks and what help shows."""

from __future__ import annotations

from dataclasses import MISSING as NO_DEFAULT
from dataclasses import field
from typing import Any

# What becomes part of a folder's name must not lead out of the folder above it.
NAME = r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9_.-]*"


def setting(
    default: Any = NO_DEFAULT,
    help: str = "",
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: list[str] | None = None,
    pattern: str | None = None,
) -> Any:
    """Declare a field with what `validation` checks: an inclusive range, the allowed words, a regular expression."""
    metadata = {"help": help, "min": minimum, "max": maximum, "choices": choices, "pattern": pattern}
    if isinstance(default, type):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)
