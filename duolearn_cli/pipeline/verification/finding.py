"""The results of checks: something that does not match, or something that could not be checked."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from duolearn_cli.files import finite

# Figures are computed again on other machines, with other versions of numerical libraries, so they may differ so much.
RELATIVE, ABSOLUTE = 1e-6, 1e-9
SHOWN = 60


@dataclass(frozen=True, slots=True)
class Finding:
    """What is said about a file or a field. If it is not `is_wrong`, the place was not checked."""

    place: str
    said: str
    is_wrong: bool = True

    def __str__(self) -> str:
        return f"{self.place}: {self.said}"


def not_checked(place: str, why: str) -> Finding:
    return Finding(place, f"not checked: {why}", is_wrong=False)


def differences(
    file: str, found: Any, expected: Any, source: str, key: str = "", relative: float = RELATIVE
) -> Iterator[Finding]:
    """Find where JSON values of `file` differ from the expected ones of `source`, by more than rounding."""
    if isinstance(found, Mapping) and isinstance(expected, Mapping):
        for name in [*expected, *(name for name in found if name not in expected)]:
            inner = f"{key}.{name}" if key else str(name)
            if name not in found or name not in expected:
                yield Finding(file, f"{inner} is missing" if name not in found else f"{inner} is not from {source}")
            else:
                yield from differences(file, found[name], expected[name], source, inner, relative)
    elif isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        for place, (one, other) in enumerate(zip(found, expected, strict=True)):
            yield from differences(file, one, other, source, f"{key}[{place}]", relative)
    elif not _is_same(found, expected, relative):
        yield Finding(file, f"{key} is {_shown(found)}, but {source} gives {_shown(expected)}")


def _is_same(found: Any, expected: Any, relative: float) -> bool:
    numbers = [isinstance(value, int | float) and not isinstance(value, bool) for value in (found, expected)]
    if all(numbers):
        return math.isclose(found, expected, rel_tol=relative, abs_tol=ABSOLUTE)
    # The types too: in Python True equals 1, in JSON they differ.
    return type(found) is type(expected) and found == expected


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def as_json(value: Any) -> Any:
    """A value as it is after it was written to JSON and read again."""
    return json.loads(json.dumps(finite(value)))
