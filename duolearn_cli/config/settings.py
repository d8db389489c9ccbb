"""How settings are declared: dataclass fields that carry what `check` compares values with and what users read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import field
from functools import partial
from types import MappingProxyType
from typing import Any

# What becomes part of a folder's name must not lead out of the folder above it.
# Largest values that mean something. What lies beyond overflows in PyTorch, or is a slip of the finger.
MAX_SEED = 2**63 - 1
MAX_COUNT = 1_000_000
MAX_RATE = 1000
NAME = r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9_.-]{0,99}"


def setting(
    default: Any = NO_DEFAULT,
    help: str = "",
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[str] | None = None,
    pattern: str | None = None,
    common: Sequence[str] = (),
) -> Any:
    """Declare a field of a configuration, with what `config.check` compares its value with.

    Args:
        default: the value; a list or a dictionary, which every instance copies; or a class or a function without
            arguments that makes the value.
        help: what the setting does, in a line.
        minimum: the least allowed number.
        maximum: the largest allowed number.
        choices: the allowed words.
        pattern: the regular expression that the whole text matches.
        common: the commands whose short help shows the setting; ``duolearn COMMAND --help-all`` shows every one.
    """
    metadata: dict[str, Any] = {
        "help": help,
        "min": minimum,
        "max": maximum,
        "choices": choices,
        "pattern": pattern,
        "common": common,
    }
    # A list that instances share would let one configuration change another.
    if isinstance(default, list | dict):
        return field(default_factory=partial(deepcopy, default), metadata=metadata)
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def with_rule(made: Any, rule: Callable[[Any], str]) -> Any:
    """Return the field of a `setting` with a rule for values that no range, words or pattern can give.

    `rule` returns what is wrong with a value, empty if nothing is.
    """
    made.metadata = MappingProxyType({**made.metadata, "rule": rule})
    return made
