"""Check single values: interpolations that fail, keys that do not exist, ranges, words and patterns."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Collection, Iterator
from typing import Any, get_args

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from duolearn_cli.config.explain import schema_type
from duolearn_cli.config.kinds import interval
from duolearn_cli.config.renamed import new_name
from duolearn_cli.errors import nearest

NAME_HINT = "a name is part of a path: letters, digits, `_`, `-` and single dots, a letter or digit first."


def interpolation_problems(node: DictConfig | ListConfig, prefix: str = "") -> Iterator[str]:
    """Yield every ``${...}`` that cannot be resolved: unchecked, it would fail only when a run first uses it."""
    written: Any = OmegaConf.to_container(node, resolve=False)
    for key in written if isinstance(written, dict) else range(len(written)):
        if OmegaConf.is_missing(node, key):
            continue
        try:
            value = node[key]
        except OmegaConfBaseException as error:
            yield f"{prefix}{key}={written[key]}: {str(error).splitlines()[0]}."
            continue
        if isinstance(value, DictConfig | ListConfig):
            yield from interpolation_problems(value, f"{prefix}{key}.")


def stray_keys(node: DictConfig, owner: type, prefix: str = "", ignored: Collection[str] = ()) -> Iterator[str]:
    """Yield keys that the schema `owner` does not have: OmegaConf takes ``+typo=1`` silently."""
    known = [spec.name for spec in dataclasses.fields(owner)]
    for name in map(str, node):
        if name in ignored:
            continue
        if name not in known:
            yield _stray(prefix, name, known)
            continue
        inner = schema_type(owner, name)
        if dataclasses.is_dataclass(inner) and isinstance(node.get(name), DictConfig):
            yield from stray_keys(node[name], inner, f"{prefix}{name}.")  # type: ignore[arg-type]


def _stray(prefix: str, name: str, known: list[str]) -> str:
    if not prefix and (renamed := new_name(name)):
        return f"{name}: this setting is called {renamed}."
    return f"{prefix}{name}: there is no such setting; allowed: {', '.join(known)}{nearest(name, known)}."


def nested_problems(config: DictConfig, owner: type, prefix: str = "") -> Iterator[str]:
    """Yield lists of words or numbers that hold something else: OmegaConf lets lists, objects and null pass."""
    for spec in dataclasses.fields(owner):
        if spec.name not in config or OmegaConf.is_missing(config, spec.name):
            continue
        value, inner = config[spec.name], schema_type(owner, spec.name)
        if dataclasses.is_dataclass(inner) and isinstance(value, DictConfig):
            yield from nested_problems(value, inner, f"{prefix}{spec.name}.")  # type: ignore[arg-type]
        elif isinstance(value, ListConfig) and get_args(inner)[:1] in ((str,), (int,), (float,)):
            for one in value:
                if one is None or isinstance(one, DictConfig | ListConfig):
                    said = f"{'null' if one is None else one} in it is no single value"
                    yield f"{prefix}{spec.name}={value}: {said}; give {spec.name}=[a,b]."


def value_problems(values: Any, prefix: str = "", owner: type | None = None) -> Iterator[str]:
    """Compare every value with the range, words or pattern that its field declares.

    Args:
        values: a dataclass instance, or OmegaConf's view of one, whose missing values are skipped.
        owner: the dataclass of an OmegaConf view.
    """
    owner = owner or type(values)
    for spec in dataclasses.fields(owner):
        if isinstance(values, DictConfig) and OmegaConf.is_missing(values, spec.name):
            continue
        value, inner = getattr(values, spec.name), schema_type(owner, spec.name)
        if dataclasses.is_dataclass(inner):
            yield from value_problems(value, f"{prefix}{spec.name}.", inner)  # type: ignore[arg-type]
        elif value is not None:
            yield from _value_problem(f"{prefix}{spec.name}", value, spec)


def _value_problem(key: str, value: Any, spec: dataclasses.Field[Any]) -> Iterator[str]:
    choices, pattern, low, high, rule = map(spec.metadata.get, ("choices", "pattern", "min", "max", "rule"))
    if choices and value not in choices:
        yield f"{key}={value}: allowed: {', '.join(choices)}{nearest(str(value), choices)}."
    elif pattern and not re.fullmatch(pattern, str(value)):
        yield f"{key}={value}: {NAME_HINT}"
    elif isinstance(value, (int, float)) and not within(value, low, high):
        yield f"{key}={value}: allowed: {interval(low, high)}."
    elif rule and (wrong := rule(value)):
        yield f"{key}={value}: {wrong}"


def within(value: float, low: float | None, high: float | None) -> bool:
    """Return whether a number is in an inclusive range. NaN never is; infinity is only if there is no bound at all."""
    if low is None and high is None:
        return not math.isnan(value)
    return (low is None or value >= low) and (high is None or value <= high) and math.isfinite(value)
