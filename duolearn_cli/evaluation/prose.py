"""Which fields of metrics.json hold sentences for people.

A later version may word a sentence differently. Of a run that other code made, `duolearn verify` therefore compares
everything else: numbers, the states of lights, the measures that warnings cast doubt on. A new field with sentences is
declared here, and `tests/evaluation/test_prose.py` finds one that is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

# By their place in metrics.json. `reason` says why a figure has no value, wherever that is.
SENTENCES = re.compile(
    r"flags\[\d+\]|verdict\.sentence|verdict\.lights\[\d+\]\.(name|said|reason|bar\.label)|(.+\.)?reason"
)
# Named by the sentence of the warning that it belongs to, so its keys are prose too.
ADVICE = "advice"


def without_prose(value: Any, place: str = "") -> Any:
    """Return a JSON value without its sentences: those declared above become empty, `advice` is left out."""
    if isinstance(value, str) and SENTENCES.fullmatch(place):
        return ""
    if isinstance(value, Mapping):
        return {
            name: without_prose(inner, f"{place}.{name}" if place else str(name))
            for name, inner in value.items()
            if place or name != ADVICE
        }
    if isinstance(value, list):
        return [without_prose(inner, f"{place}[{number}]") for number, inner in enumerate(value)]
    return value


def texts(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text of a JSON value with its place, keys of mappings left out."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from texts(inner, f"{place}.{name}" if place else str(name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from texts(inner, f"{place}[{number}]")


def reworded(recorded: Any, expected: Any) -> list[str]:
    """Return the places whose sentences differ between two versions of the same figures."""
    before = dict(texts(recorded))
    return [place for place, text in texts(expected) if SENTENCES.fullmatch(place) and before.get(place) != text]
