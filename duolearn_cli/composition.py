"""From command-line overrides to a checked configuration; every problem is reported at once, none as a traceback."""

from __future__ import annotations

import dataclasses
import importlib
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from duolearn_cli.concepts.hierarchy import LEVELS
from duolearn_cli.config import RunConfig
from duolearn_cli.errors import ConfigError, nearest
from duolearn_cli.folders import conf_dir, groups

DEFAULTS = {"dataset": "minimed", "method": "duolearn"}
COMPONENTS = tuple(DEFAULTS)


def register_schema() -> None:
    """Make the typed schema known to Hydra. Idempotent."""
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="run_schema", node=RunConfig)


def compose(command: str, overrides: Sequence[str], config_dir: str | None = None) -> DictConfig:
    """Compose and check one job's configuration.

    Raises:
        ConfigError: every problem found, one a line.
    """
    problems = list(_composition_problems(command, overrides, config_dir))
    if not problems:
        config = _compose(command, overrides, config_dir)
        problems = list(check(config, _search(config_dir)))
        if not problems:
            return config
    raise ConfigError("\n".join(problems))


def _compose(command: str, overrides: Sequence[str], config_dir: str | None) -> DictConfig:
    import hydra
    from hydra.core.global_hydra import GlobalHydra

    register_schema()
    GlobalHydra.instance().clear()
    search = [f"hydra.searchpath=[file://{Path(config_dir).resolve()}]"] if config_dir else []
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = hydra.compose(command, overrides=[*overrides, *search])
    GlobalHydra.instance().clear()
    return config


def _composition_problems(command: str, overrides: Sequence[str], config_dir: str | None) -> Iterator[str]:
    """Compose once; if that fails, try each override beside the sound group choices and blame it for its own fault."""
    try:
        _compose(command, overrides, config_dir)
        return
    except Exception as error:  # Hydra's and OmegaConf's errors share no base class
        whole = error
    choices: list[str] = []
    blamed: list[str] = []
    known_groups = groups(_search(config_dir))
    for override in sorted(overrides, key=lambda text: _key_of(text) not in known_groups):
        try:
            _compose(command, [*choices, override], config_dir)
        except Exception as error:
            blamed.append(explain(error, override, choices, _search(config_dir)))
            continue
        if _key_of(override) in known_groups:
            choices.append(override)
    yield from blamed or [explain(whole, "", choices, _search(config_dir))]


def _key_of(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _search(config_dir: str | None) -> Path | None:
    return Path(config_dir) if config_dir else None


def explain(error: Exception, override: str, choices: Sequence[str], extra: Path | None = None) -> str:
    """Say in one line what is wrong with `override`: the key, the value, what is allowed, the nearest match."""
    text = " ".join(f"{error} {error.__cause__ or ''}".split())
    key, _, value = override.lstrip("+~").partition("=")
    options = groups(extra)
    if key in options and "Could not" in text:
        names = list(options[key])
        return f"{key}={value}: there is no such {key}; allowed: {', '.join(names)}{nearest(value, names)}."
    if wrong := re.search(r"Key '([^']+)' (?:is )?not in", text):
        allowed = _allowed_beside(key, choices, extra)
        return f"{key}: there is no such setting; allowed: {', '.join(allowed)}{nearest(wrong[1], allowed)}."
    if "could not be converted" in text or "Invalid type" in text or "Cannot convert" in text:
        return f"{key}={value}: {_expected(key, text)}"
    return f"{override}: {text}" if override else text


def _schema_at(path: Sequence[str]) -> Any:
    """The dataclass field type at a dotted path of the schema, or None."""
    node: Any = RunConfig
    for part in path:
        fields = {f.name: f for f in dataclasses.fields(node)} if dataclasses.is_dataclass(node) else {}
        if part not in fields:
            return None
        node = _type_of(node, part)
    return node


def _type_of(owner: Any, name: str) -> Any:
    import typing

    return typing.get_type_hints(owner)[name]


def _allowed_beside(key: str, choices: Sequence[str], extra: Path | None) -> list[str]:
    """Names allowed beside the first unknown part of a dotted key."""
    parts = key.split(".")
    if parts[0] in COMPONENTS and len(parts) > 1:
        return _component_settings(parts[0], choices, extra)
    for depth in range(len(parts) - 1, -1, -1):
        owner = _schema_at(parts[:depth])
        if dataclasses.is_dataclass(owner):
            return [f.name for f in dataclasses.fields(owner)]
    return [f.name for f in dataclasses.fields(RunConfig)]


def _component_settings(name: str, choices: Sequence[str], extra: Path | None) -> list[str]:
    """Settings of the chosen method or data set, from its YAML file."""
    chosen = [choice.partition("=")[2] for choice in choices if _key_of(choice) == name] or [DEFAULTS[name]]
    for root in filter(None, (extra, conf_dir())):
        path = root / name / f"{chosen[-1]}.yaml"
        if path.is_file():
            node: Any = OmegaConf.load(path)
            return [str(key) for key in node.get(name, node) if key != "_target_"]
    return []


def _expected(key: str, text: str) -> str:
    wanted = _schema_at(key.split("."))
    name = getattr(wanted, "__name__", None) if isinstance(wanted, type) else str(wanted)
    words = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text"}
    return f"expected {words.get(str(name), name)}." if wanted else text


def component_class(node: DictConfig, plugins: Sequence[str]) -> type:
    """Import the dataclass that ``_target_`` names, from this package or the user's named modules only."""
    target = str(node.get("_target_", ""))
    module, _, name = target.rpartition(".")
    if not any(module == allowed or module.startswith(f"{allowed}.") for allowed in ("duolearn_cli", *plugins)):
        raise ConfigError(
            f"_target_={target!r}: only classes of duolearn_cli or of a module named in `plugins` are run."
        )
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"_target_={target!r} cannot be imported: {error}.") from error
    if not dataclasses.is_dataclass(found):
        raise ConfigError(f"_target_={target!r} is not a dataclass, so its settings cannot be checked.")
    return found  # type: ignore[return-value]


def component(node: DictConfig, plugins: Sequence[str] = ()) -> Any:
    """Build the component that a checked configuration node describes."""
    schema = OmegaConf.structured(component_class(node, plugins))
    return OmegaConf.to_object(OmegaConf.merge(schema, _without_target(node)))


def _without_target(node: DictConfig) -> dict[str, Any]:
    values = OmegaConf.to_container(node, resolve=True)
    return {key: value for key, value in values.items() if key != "_target_"}  # type: ignore[union-attr]


def check(config: DictConfig, extra: Path | None = None) -> Iterator[str]:
    """Yield every problem of a composed configuration: strays, types, ranges, words, combinations."""
    yield from _stray_keys(config, RunConfig, "")
    for name in COMPONENTS:
        node = config.get(name)
        if node is None:
            yield f"{name} is not set; allowed: {', '.join(groups(extra).get(name, {}))}."
            continue
        try:
            owner = component_class(node, config.plugins)
            strays = list(_stray_keys(node, owner, f"{name}.", ignore={"_target_"}))
            yield from strays or check_values(component(node, config.plugins), f"{name}.")
        except ConfigError as error:
            yield f"{name}: {error}"
        except OmegaConfBaseException as error:
            yield f"{name}.{error.full_key}: {str(error).splitlines()[0]}"
    yield from _forget_problems(config, extra)
    yield from check_values(config, "", RunConfig)
    yield from _combinations(config)


def _forget_problems(config: DictConfig, extra: Path | None) -> Iterator[str]:
    needs_target = config.command in ("learn", "retrain", "unlearn") or (
        config.command == "evaluate" and not config.run
    )
    if needs_target and OmegaConf.is_missing(config.forget, "name") and not config.resume:
        options = ", ".join(groups(extra).get("forget", {}))
        yield f"forget: name what to forget, e.g. +forget=surgery; allowed: {options}."


def _stray_keys(node: DictConfig, owner: type, prefix: str, ignore: set[str] = frozenset()) -> Iterator[str]:  # type: ignore[assignment]
    """OmegaConf takes ``+typo=1`` silently: compare with the schema."""
    known = [f.name for f in dataclasses.fields(owner)]
    for key in node:
        name = str(key)
        if name in ignore:
            continue
        if name not in known:
            yield f"{prefix}{name}: there is no such setting; allowed: {', '.join(known)}{nearest(name, known)}."
            continue
        inner = _type_of(owner, name)
        if dataclasses.is_dataclass(inner) and isinstance(node.get(name), DictConfig):
            yield from _stray_keys(node[name], inner, f"{prefix}{name}.")  # type: ignore[arg-type]


def check_values(values: Any, prefix: str, owner: type | None = None) -> Iterator[str]:
    """Compare every value with its field's declared range or words."""
    owner = owner or type(values)
    for spec in dataclasses.fields(owner):
        if isinstance(values, DictConfig) and OmegaConf.is_missing(values, spec.name):
            continue
        value, inner = getattr(values, spec.name), _type_of(owner, spec.name)
        if dataclasses.is_dataclass(inner):
            yield from check_values(value, f"{prefix}{spec.name}.", inner)  # type: ignore[arg-type]
            continue
        choices, low, high = (spec.metadata.get(key) for key in ("choices", "min", "max"))
        if value is None:
            continue
        if choices and value not in choices:
            yield f"{prefix}{spec.name}={value}: allowed: {', '.join(choices)}{nearest(str(value), choices)}."
        elif isinstance(value, (int, float)) and not _within(value, low, high):
            yield f"{prefix}{spec.name}={value}: allowed: {_interval(low, high)}."


def _within(value: float, low: float | None, high: float | None) -> bool:
    """Also refuses NaN and, where there is a bound at all, infinities."""
    if low is None and high is None:
        return not math.isnan(value)
    return (low is None or value >= low) and (high is None or value <= high) and math.isfinite(value)


def _interval(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"{low} to {high}"
    return f"{low} or more" if low is not None else f"{high} or less"


def _combinations(config: DictConfig) -> Iterator[str]:
    """Settings that are fine alone and impossible together."""
    privacy = config.privacy
    if privacy.epsilon is not None:
        yield (
            f"privacy={privacy.name} (epsilon {privacy.epsilon}): this version has no private training, "
            "and will not print an epsilon it cannot vouch for; allowed: privacy=none."
        )
    weights = config.hierarchy.level_weights
    if len(weights) != len(LEVELS) or min(weights, default=-1) < 0:
        yield f"hierarchy.level_weights={list(weights)}: four numbers of 0 or more are needed, for levels 1 to 4."
    for name in ("resume", "run", "adapter"):
        value = config.get(name)
        if value and not Path(value).is_dir():
            yield f"{name}={value}: there is no such folder."
    if config.run and config.command != "evaluate":
        yield f"run={config.run}: only `duolearn evaluate` takes run; allowed here: resume=RUN to continue a run."
    if config.resume and config.command != "unlearn":
        yield f"resume={config.resume}: only `duolearn unlearn` can be resumed."
    if config.runtime.num_processes > 1 and config.command != "unlearn":
        yield f"runtime.num_processes={config.runtime.num_processes}: only `duolearn unlearn` uses several processes."
