"""Check a composed configuration as a whole, so that no mistake appears only after models are loaded."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from duolearn_cli.config import combinations, privacy_rules
from duolearn_cli.config.components import component, component_class
from duolearn_cli.config.declarations import Combined, Declaring
from duolearn_cli.config.explain import COMPONENTS, schema_type, wrong_type
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.config.values import interpolation_problems, nested_problems, stray_keys, value_problems
from duolearn_cli.config.words import OPTIONAL_COMPONENTS
from duolearn_cli.errors import ConfigError
from duolearn_cli.files import groups

MEASURES = "measures."
# The base classes that components must have, and where they are imported from. A data set needs none.
BASES = {
    "method": ("Method", "duolearn_cli.methods"),
    "hierarchy": ("HierarchySource", "duolearn_cli.concepts.sources"),
}
# Components that are any class with `load`.
LOADED = ("dataset", "retain_from")
# The commands that score models, and so can measure them.
MEASURING = ("learn", "retrain", "unlearn", "evaluate", "benchmark")


def check(config: DictConfig, extra: Path | None = None) -> Iterator[str]:
    """Yield every problem of a composed configuration: interpolations, strays, types, ranges, words, combinations.

    Args:
        extra: the user's own folder of configuration groups.
    """
    # Reading a value whose interpolation fails raises an error, so no other check could run.
    unresolved = list(interpolation_problems(config))
    if unresolved:
        yield from unresolved
        return
    # Other checks take words for words.
    if nested := list(nested_problems(config, RunConfig)):
        yield from nested
        return
    yield from stray_keys(config, RunConfig)
    yield from _missing(config)
    for name in (*COMPONENTS, *(name for name in OPTIONAL_COMPONENTS if config.get(name) is not None)):
        yield from _component_problems(config, name, extra)
    yield from _added_measures(config)
    yield from _forget_problems(config, extra)
    yield from value_problems(config, owner=RunConfig)
    yield from combinations.problems(config, groups(extra).get("method", {}))
    yield from privacy_rules.problems(config, _method(config))  # type: ignore[arg-type]


def _method(config: DictConfig) -> Any:
    """The method; None where its class or its settings make none, which `check` has reported already."""
    try:
        if list(_class_problems("method", component_class(config.method, config.plugins))):
            return None
        return component(config.method, config.plugins)
    except (ConfigError, OmegaConfBaseException, AttributeError):
        return None


def _missing(config: DictConfig) -> Iterator[str]:
    """Settings without a value; forget target and components have their own messages."""
    for key in sorted(OmegaConf.missing_keys(config)):
        if key not in COMPONENTS and not key.startswith("forget."):
            yield f"{key} is not set; give {key}=VALUE."


def _component_problems(config: DictConfig, name: str, extra: Path | None) -> Iterator[str]:
    node = config.get(name)
    if not isinstance(node, DictConfig):
        yield f"{name} is not set; allowed: {', '.join(groups(extra).get(name, {}))}."
        return
    yield from _node_problems(node, name, config.plugins)


def _node_problems(node: Any, name: str, plugins: Sequence[str]) -> Iterator[str]:
    """What is wrong with a component's settings, alone and together."""
    if not isinstance(node, DictConfig):
        yield f"{name}={node}: allowed: a component: _target_ and its settings."
        return
    try:
        owner = component_class(node, plugins)
    except ConfigError as error:
        yield f"{name}: {error}"
        return
    if refused := list(_class_problems(name, owner)):
        yield from refused
        return
    # OmegaConf reports only the first of these, and in words of its own.
    if unbuildable := [*stray_keys(node, owner, f"{name}.", {"_target_"})] or [*_values_for_groups(node, owner, name)]:
        yield from unbuildable
        return
    try:
        values = component(node, plugins)
    except OmegaConfBaseException as error:
        yield _mistyped(error, node, owner, name)
        return
    except Exception as error:  # the user's own class may fail in any way
        yield f"{name}: {owner.__name__} refuses its settings: {type(error).__name__}: {error}."
        return
    unfit = list(value_problems(values, f"{name}."))
    yield from unfit
    if not (unfit and name.startswith(MEASURES)):  # a measure is tried only with settings that it allows
        yield from _own_problems(values, name)


def _values_for_groups(node: DictConfig, owner: type, name: str) -> Iterator[str]:
    """Yield single values in places where a component has a group of settings."""
    for key in (spec.name for spec in dataclasses.fields(owner)):
        is_group = dataclasses.is_dataclass(schema_type(owner, key))
        if key in node and is_group and not isinstance(node[key], DictConfig):
            yield f"{name}.{key}={node[key]}: {wrong_type(key, '', owner)}"


def _mistyped(error: OmegaConfBaseException, node: DictConfig, owner: type, name: str) -> str:
    key, said = str(error.full_key), str(error).splitlines()[0]
    value = OmegaConf.select(node, key)
    return f"{name}.{key}={'null' if value is None else value}: {wrong_type(key, said, owner)}"


def _own_problems(values: Any, name: str) -> Iterator[str]:
    """Yield combinations that the component, or a group of its settings, declares to be impossible."""
    if name.startswith(MEASURES):
        yield from (f"{name}: {problem}" for problem in values.wrong_as(name.removeprefix(MEASURES)))
    for part in (values, *(getattr(values, spec.name) for spec in dataclasses.fields(values))):
        if isinstance(part, Combined):
            yield from (f"{name}.{problem}" for problem in part.problems())


def _class_problems(name: str, owner: type) -> Iterator[str]:
    """What makes a class no usable component, whatever its settings; base classes that declare hooks know it."""
    base, package = _bases(name)
    if base and not any(one.__name__ == base and one.__module__.startswith("duolearn_cli.") for one in owner.__mro__):
        yield (
            f"{name}: {owner.__name__} does not derive from {base}, so nobody can tell what it declares. Fix, in the "
            f"module {owner.__module__}: from {package} import {base}; class {owner.__name__}({base})."
        )
    elif name in LOADED and not any("load" in vars(one) for one in owner.__mro__):
        yield f"{name}: {owner.__name__} has no method `load`, so it is no data set."
    elif isinstance(owner, Declaring):
        yield from (f"{name}: {problem}" for problem in owner.class_problems())


def _bases(name: str) -> tuple[str, str]:
    """The base class that a component must have, and where it is imported from; empty for none."""
    if name.startswith(MEASURES):
        return "AddedMeasure", "duolearn_cli.evaluation.measures"
    return BASES.get(name, ("", ""))


def _added_measures(config: DictConfig) -> Iterator[str]:
    if config.measures and config.command not in MEASURING:
        names = ", ".join(map(str, config.measures))
        yield f"measures: `duolearn {config.command}` scores no model; leave out {names}."
    for key, node in config.measures.items():
        yield from _node_problems(node, f"{MEASURES}{key}", config.plugins)


def _forget_problems(config: DictConfig, extra: Path | None) -> Iterator[str]:
    if _needs_target(config) and OmegaConf.is_missing(config.forget, "name") and not config.resume:
        options = ", ".join(groups(extra).get("forget", {}))
        yield f"forget: name what to forget, e.g. +forget=surgery; allowed: {options}."


def _needs_target(config: DictConfig) -> bool:
    return (
        config.command in ("learn", "retrain", "unlearn", "inspect", "bench", "benchmark")
        or (config.command == "audit" and config.audit.kind == "privacy")
        or (config.command == "evaluate" and not config.run)
        or (config.command == "hierarchy" and config.hierarchy_view.action == "target")
    )
