"""Types, ranges and values of settings in words: one way to say them, for messages, help and the reference."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

_WORDS: dict[Any, str] = {
    Any: "settings of a component",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    type(None): "null",
}
# What OmegaConf calls a value that has to be given.
REQUIRED = "???"


def kind(wanted: Any) -> str:
    """What a declared type accepts: ``a whole number or null``."""
    if isinstance(wanted, types.UnionType):
        return " or ".join(map(kind, typing.get_args(wanted)))
    if dataclasses.is_dataclass(wanted):
        return f"settings: {', '.join(spec.name for spec in dataclasses.fields(wanted))}"
    inner = typing.get_args(wanted)
    if typing.get_origin(wanted) is list:
        if dataclasses.is_dataclass(inner[0]):
            return "a list of settings"
        return "a list, such as [a,b]" if inner == (str,) else "a list of numbers, such as [1,2]"
    if typing.get_origin(wanted) is dict:
        return "pairs, such as {a: b}"
    return _WORDS.get(wanted, str(wanted))


def interval(low: float | None, high: float | None) -> str:
    """An inclusive range; empty for none."""
    if low is not None and high is not None:
        return f"{typed(low)} to {typed(high)}"
    if low is not None:
        return f"{typed(low)} or more"
    return "" if high is None else f"{typed(high)} or less"


def allowed(metadata: Mapping[str, Any]) -> str:
    """The words or the range that a field's `setting(...)` declares; empty where every value of its type is fine."""
    if metadata.get("choices"):
        return ", ".join(metadata["choices"])
    return interval(metadata.get("min"), metadata.get("max"))


def typed(value: Any) -> str:
    """A value as the command line takes it: ``null``, ``true``, ``[1,2]``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {typed(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{','.join(map(typed, value))}]"
    if value == "":
        return '""'
    return f"{value:g}" if isinstance(value, float) and abs(value) >= 1e-4 else str(value)
