"""From command-line overrides to a checked configuration; every problem is reported at once, none as a traceback."""

from __future__ import annotations

import dataclasses
import importlib
import math
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from duolearn_cli.config import RunConfig
from duolearn_cli.errors import ConfigError, nearest
from duolearn_cli.explanations import COMPONENTS, explain, group_problems, key_of, schema_type, wrong_type
from duolearn_cli.fields import NAME
from duolearn_cli.folders import conf_dir, groups
from duolearn_cli.hierarchies.base import HierarchySource
from duolearn_cli.privacy import rules
from duolearn_cli.robustness_config import list_problems
from duolearn_cli.update_config import WITH_MOMENTUM

NAME_HINT = "a name is part of a path: letters, digits, `_`, `-` and single dots, a letter or digit first."


def register_schema() -> None:
    """Make the typed schema known to Hydra. Idempotent."""
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="run_schema", node=RunConfig)


def compose(command: str, overrides: Sequence[str], config_dir: str | None = None) -> DictConfig:
    """Compose and check one job's configuration.

    Raises:
        ConfigError: every problem found, one a line.
    """
    problems = list(group_problems(overrides, _search(config_dir)))
    if not problems:
        try:
            config = _compose(command, overrides, config_dir)
        except Exception as error:  # Hydra's and OmegaConf's errors share no base class
            problems = list(_blame(error, command, overrides, config_dir))
        else:
            problems = list(check(config, _search(config_dir)))
            if not problems:
                return config
    raise ConfigError("\n".join(problems))


def _compose(command: str, overrides: Sequence[str], config_dir: str | None) -> DictConfig:
    """Compose as the command line does: the user's folder goes onto the search path, not into an override's grammar."""
    import hydra
    from hydra._internal.hydra import Hydra
    from hydra._internal.utils import create_config_search_path
    from hydra.core.config_search_path import SearchPathQuery
    from hydra.core.global_hydra import GlobalHydra

    register_schema()
    search = create_config_search_path(str(conf_dir()))
    if config_dir:
        search.prepend("command-line", f"file://{Path(config_dir).resolve()}", SearchPathQuery(provider="schema"))
    GlobalHydra.instance().clear()
    try:
        Hydra.create_main_hydra2("duolearn", search)
        return hydra.compose(command, overrides=list(overrides))
    finally:
        GlobalHydra.instance().clear()


def _blame(whole: Exception, command: str, overrides: Sequence[str], config_dir: str | None) -> Iterator[str]:
    """Try each override beside the sound group choices and blame it for its own fault."""
    choices: list[str] = []
    blamed: list[str] = []
    known_groups = groups(_search(config_dir))
    for override in sorted(overrides, key=lambda text: key_of(text) not in known_groups):
        try:
            _compose(command, [*choices, override], config_dir)
        except Exception as error:
            blamed.append(explain(error, override, choices, _search(config_dir)))
            continue
        if key_of(override) in known_groups:
            choices.append(override)
    yield from blamed or [explain(whole, "", choices, _search(config_dir))]


def _search(config_dir: str | None) -> Path | None:
    return Path(config_dir) if config_dir else None


def component_class(node: DictConfig, plugins: Sequence[str]) -> type:
    """Import the dataclass that ``_target_`` names, from this package or the user's named modules only."""
    target = str(node.get("_target_", ""))
    module, _, name = target.rpartition(".")
    if not any(module == allowed or module.startswith(f"{allowed}.") for allowed in ("duolearn_cli", *plugins)):
        raise ConfigError(
            f"_target_={target!r}: only classes of duolearn_cli or of a module named in `plugins` are run."
        )
    if plugins and (here := str(Path.cwd())) not in sys.path:
        # At the end, so that a file of the user's never shadows a library.
        sys.path.append(here)
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # the user's module may fail in any way
        raise ConfigError(f"_target_={target!r} cannot be imported: {error}.") from error
    if not dataclasses.is_dataclass(found):
        raise ConfigError(f"_target_={target!r} is not a dataclass, so its settings cannot be checked.")
    return found  # type: ignore[return-value]


def component(node: DictConfig, plugins: Sequence[str] = ()) -> Any:
    """Build the component that a checked configuration node describes."""
    schema = OmegaConf.structured(component_class(node, plugins))
    return OmegaConf.to_object(OmegaConf.merge(schema, _without_target(node)))


def _method(config: DictConfig) -> Any:
    """The method, or None where its settings do not make one, which was said before."""
    try:
        return component(config.method, config.plugins)
    except (ConfigError, OmegaConfBaseException, AttributeError):
        return None


def _without_target(node: DictConfig) -> dict[str, Any]:
    values = OmegaConf.to_container(node, resolve=True)
    return {key: value for key, value in values.items() if key != "_target_"}  # type: ignore[union-attr]


def check(config: DictConfig, extra: Path | None = None) -> Iterator[str]:
    """Yield every problem of a composed configuration: interpolations, strays, types, ranges, words, combinations."""
    unresolved = list(_interpolation_problems(config, ""))
    if unresolved:
        yield from unresolved
        return
    yield from _stray_keys(config, RunConfig, "")
    yield from _missing(config)
    for name in COMPONENTS:
        yield from _component_problems(config, name, extra)
    yield from _forget_problems(config, extra)
    yield from check_values(config, "", RunConfig)
    yield from _combinations(config)
    yield from rules.problems(config, _method(config))  # type: ignore[arg-type]


def _interpolation_problems(node: DictConfig | ListConfig, prefix: str) -> Iterator[str]:
    """Resolve every ``${...}``, for it may fail hours into a run."""
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
            yield from _interpolation_problems(value, f"{prefix}{key}.")


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
    try:
        owner = component_class(node, config.plugins)
    except ConfigError as error:
        yield f"{name}: {error}"
        return
    if strays := list(_stray_keys(node, owner, f"{name}.", ignore={"_target_"})):
        yield from strays
        return
    if whole := [spec.name for spec in dataclasses.fields(owner) if _is_no_group(node, owner, spec.name)]:
        yield from (f"{name}.{key}={node[key]}: {wrong_type(key, '', owner)}" for key in whole)
        return
    try:
        values = component(node, config.plugins)
    except OmegaConfBaseException as error:
        key, said = str(error.full_key), str(error).splitlines()[0]
        value = OmegaConf.select(node, key)
        yield f"{name}.{key}={'null' if value is None else value}: {wrong_type(key, said, owner)}"
        return
    yield from check_values(values, f"{name}.")
    if name == "hierarchy" and not isinstance(values, HierarchySource):
        yield f"hierarchy: {type(values).__name__} is no duolearn_cli.hierarchies.base.HierarchySource."
    # A component, or a part of it, may know of settings that are fine alone and impossible together.
    for part in (values, *(getattr(values, spec.name) for spec in dataclasses.fields(values))):
        if hasattr(part, "problems"):
            yield from (f"{name}.{problem}" for problem in part.problems())


def _is_no_group(node: DictConfig, owner: type, name: str) -> bool:
    return (
        name in node and dataclasses.is_dataclass(schema_type(owner, name)) and not isinstance(node[name], DictConfig)
    )


def _forget_problems(config: DictConfig, extra: Path | None) -> Iterator[str]:
    needs_target = (
        config.command in ("learn", "retrain", "unlearn", "inspect")
        or (config.command == "audit" and config.audit.kind == "privacy")
        or (config.command == "evaluate" and not config.run)
        or (config.command == "hierarchy" and config.action == "target")
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
        inner = schema_type(owner, name)
        if dataclasses.is_dataclass(inner) and isinstance(node.get(name), DictConfig):
            yield from _stray_keys(node[name], inner, f"{prefix}{name}.")  # type: ignore[arg-type]


def check_values(values: Any, prefix: str, owner: type | None = None) -> Iterator[str]:
    """Compare every value with its field's declared range, words or pattern."""
    owner = owner or type(values)
    for spec in dataclasses.fields(owner):
        if isinstance(values, DictConfig) and OmegaConf.is_missing(values, spec.name):
            continue
        value, inner = getattr(values, spec.name), schema_type(owner, spec.name)
        if dataclasses.is_dataclass(inner):
            yield from check_values(value, f"{prefix}{spec.name}.", inner)  # type: ignore[arg-type]
            continue
        choices, low, high = (spec.metadata.get(key) for key in ("choices", "min", "max"))
        if value is None:
            continue
        if choices and value not in choices:
            yield f"{prefix}{spec.name}={value}: allowed: {', '.join(choices)}{nearest(str(value), choices)}."
        elif (pattern := spec.metadata.get("pattern")) and not re.fullmatch(pattern, str(value)):
            yield f"{prefix}{spec.name}={value}: {NAME_HINT}"
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
    if not OmegaConf.is_missing(config.forget, "name") and not re.fullmatch(NAME, config.forget.name):
        yield f"forget.name={config.forget.name}: {NAME_HINT}"
    weights = config.evaluation.hmta_weights
    if len(weights) != 4 or not all(_within(weight, 0, None) for weight in weights) or not any(weights):
        yield f"evaluation.hmta_weights={list(weights)}: four numbers of 0 or more are needed, not all 0."
    for name in ("resume", "run", "adapter"):
        value = config.get(name)
        if value and not Path(value).is_dir():
            yield f"{name}={value}: there is no such folder."
    finds = config.command == "hierarchy" and config.get("action") == "find"
    if finds and not (config.get("text") or "").strip():
        yield 'which text? duolearn hierarchy find "TEXT"'
    if config.audit.guesses and config.audit.guesses > config.audit.canaries:
        yield f"audit.guesses={config.audit.guesses}: allowed: audit.canaries={config.audit.canaries} or less."
    yield from (f"audit.robustness.{problem}" for problem in list_problems(config.audit.robustness))
    attacks = config.command == "audit" and config.audit.kind == "robustness"
    if attacks and not config.run:
        yield "run is not set: which run is attacked? Give run=FOLDER, of a finished `duolearn unlearn`."
    if config.run and config.command != "evaluate" and not attacks:
        yield (
            f"run={config.run}: only `duolearn evaluate` and `audit robustness` take run; allowed here: resume=RUN to "
            "continue a run."
        )
    if config.resume and config.command != "unlearn":
        yield f"resume={config.resume}: only `duolearn unlearn` can be resumed."
    if config.adapter and config.command not in ("evaluate", "unlearn", "audit"):
        yield f"adapter={config.adapter}: only `duolearn unlearn`, `evaluate` and `audit` take one."
    if config.runtime.sharding != "none" and config.runtime.num_processes == 1:
        yield (
            f"runtime.sharding={config.runtime.sharding}: one process has nothing to share; "
            "give runtime.num_processes=2 or more."
        )
    settings = config.unlearn
    if settings.momentum and settings.optimizer not in WITH_MOMENTUM:
        allowed = ", ".join(WITH_MOMENTUM)
        yield f"unlearn.momentum={settings.momentum}: {settings.optimizer} has none to set; allowed with: {allowed}."
    if config.runtime.num_processes > 1 and config.command != "unlearn":
        yield f"runtime.num_processes={config.runtime.num_processes}: only `duolearn unlearn` uses several processes."
