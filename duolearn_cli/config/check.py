"""What may be wrong with a composed configuration: every problem in one line, none left for when models are loaded."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from duolearn_cli.config import comparison, privacy_rules
from duolearn_cli.config.components import component, component_class
from duolearn_cli.config.explain import COMPONENTS, OPTIONAL_COMPONENTS, schema_type, wrong_type
from duolearn_cli.config.layers import layers_problem
from duolearn_cli.config.robustness import list_problems
from duolearn_cli.config.schema import ModelConfig, RunConfig, RuntimeConfig
from duolearn_cli.config.settings import NAME
from duolearn_cli.config.unlearning import WITH_MOMENTUM
from duolearn_cli.errors import ConfigError, nearest
from duolearn_cli.files import groups

WITH_RUN_FOLDER = ("learn", "retrain", "unlearn", "evaluate", "audit", "bench", "benchmark")
NAME_HINT = "a name is part of a path: letters, digits, `_`, `-` and single dots, a letter or digit first."


def check(config: DictConfig, extra: Path | None = None) -> Iterator[str]:
    """Yield every problem of a composed configuration: interpolations, strays, types, ranges, words, combinations."""
    unresolved = list(_interpolation_problems(config, ""))
    if unresolved:
        yield from unresolved
        return
    yield from _stray_keys(config, RunConfig, "")
    yield from _missing(config)
    for name in (*COMPONENTS, *(name for name in OPTIONAL_COMPONENTS if config.get(name) is not None)):
        yield from _component_problems(config, name, extra)
    yield from _forget_problems(config, extra)
    yield from check_values(config, "", RunConfig)
    yield from _combinations(config, groups(extra).get("method", {}))
    yield from privacy_rules.problems(config, _method(config))  # type: ignore[arg-type]


def _method(config: DictConfig) -> Any:
    """The method, or None where its class or its settings do not make one, which was said before."""
    try:
        if list(_class_problems("method", component_class(config.method, config.plugins))):
            return None
        return component(config.method, config.plugins)
    except (ConfigError, OmegaConfBaseException, AttributeError):
        return None


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
    if refused := list(_class_problems(name, owner)):
        yield from refused
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
    if name == "hierarchy" and not (hasattr(values, "load") and hasattr(values, "level_weights")):
        yield f"hierarchy: {type(values).__name__} is no duolearn_cli.concepts.sources.base.HierarchySource."
    # A component, or a part of it, may know of settings that are fine alone and impossible together.
    for part in (values, *(getattr(values, spec.name) for spec in dataclasses.fields(values))):
        if hasattr(part, "problems"):
            yield from (f"{name}.{problem}" for problem in part.problems())


def _class_problems(name: str, owner: type) -> Iterator[str]:
    """What makes a class no usable component, whatever its settings; base classes that declare hooks know it."""
    if hasattr(owner, "class_problems"):
        yield from (f"{name}: {problem}" for problem in owner.class_problems())
    elif name == "method":
        yield (
            f"method: {owner.__name__} does not derive from Method, so nobody can tell what it declares. Fix, in the "
            f"module {owner.__module__}: from duolearn_cli.methods import Method; class {owner.__name__}(Method)."
        )


def _is_no_group(node: DictConfig, owner: type, name: str) -> bool:
    return (
        name in node and dataclasses.is_dataclass(schema_type(owner, name)) and not isinstance(node[name], DictConfig)
    )


def _forget_problems(config: DictConfig, extra: Path | None) -> Iterator[str]:
    needs_target = (
        config.command in ("learn", "retrain", "unlearn", "inspect", "bench", "benchmark")
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


def _unnamed_folders(config: DictConfig) -> Iterator[str]:
    """Folders that were given without a name, as a script's unset variable gives them: not the same as none."""
    for name, also in (("run_dir", " (hydra.run.dir)"), ("resume", ""), ("run", ""), ("adapter", "")):
        value = config.get(name)
        if value is not None and not value.strip():
            yield f"{name}={value}{also}: the folder has no name; give {name}=FOLDER, or leave it out."


def _combinations(config: DictConfig, methods: Mapping[str, str]) -> Iterator[str]:
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
    yield from _unnamed_folders(config)
    if problem := layers_problem(config.model.adapter.layers):
        yield problem
    finds = config.command == "hierarchy" and config.get("action") == "find"
    if finds and not (config.get("text") or "").strip():
        yield 'which text? duolearn hierarchy find "TEXT"'
    if config.audit.guesses and config.audit.guesses > config.audit.canaries:
        yield f"audit.guesses={config.audit.guesses}: allowed: {config.audit.canaries} (audit.canaries) or less."
    yield from (f"audit.robustness.{problem}" for problem in list_problems(config.audit.robustness))
    yield from (f"benchmark.{problem}" for problem in comparison.list_problems(config.benchmark, methods))
    yield from _beside_the_command(config)
    if config.labels.answers == "trusted" and config.evaluation.part != "all":
        yield (
            f"labels.answers=trusted: the target is asked what is scored, and evaluation.part={config.evaluation.part} "
            "scores a part; allowed with it: all."
        )
    if config.runtime.sharding != "none" and config.runtime.num_processes == 1:
        yield (
            f"runtime.sharding={config.runtime.sharding}: one process has nothing to share; "
            "give runtime.num_processes=2 or more."
        )
    yield from _quantization_problems(config.model, config.runtime)
    settings = config.unlearn
    if settings.momentum and settings.optimizer not in WITH_MOMENTUM:
        allowed = " or ".join(f"unlearn.optimizer={name}" for name in WITH_MOMENTUM)
        yield f"unlearn.momentum={settings.momentum}: {settings.optimizer} has none to set; allowed: 0, or {allowed}."
    if config.runtime.num_processes > 1 and config.command != "unlearn":
        yield f"runtime.num_processes={config.runtime.num_processes}: only `duolearn unlearn` uses several processes."


def _quantization_problems(model: ModelConfig, runtime: RuntimeConfig) -> Iterator[str]:
    """Yield what does not go with a quantised model, by the settings alone."""
    if model.quantization == "none":
        return
    if runtime.device == "cpu":
        yield f"model.quantization={model.quantization}: needs a GPU; allowed with runtime.device=cpu: none."
    if runtime.sharding != "none":
        yield (
            f"model.quantization={model.quantization}: quantised layers are not cut over processes; allowed with "
            f"runtime.sharding={runtime.sharding}: none."
        )


def _beside_the_command(config: DictConfig) -> Iterator[str]:
    """What this command needs, or does not take: runs, folders, an adapter to begin with."""
    attacks = config.command == "audit" and config.audit.kind == "robustness"
    if attacks and not config.run:
        yield "run is not set: which run is attacked? Give run=FOLDER, of a finished `duolearn unlearn`."
    if config.run and config.command != "evaluate" and not attacks:
        yield (
            f"run={config.run}: only `duolearn evaluate` and `audit robustness` take run; allowed here: resume=RUN to "
            "continue a run."
        )
    if config.run_dir and config.command not in WITH_RUN_FOLDER:
        yield f"run_dir={config.run_dir}: `duolearn {config.command}` makes no run folder; leave it out."
    if config.run_dir and config.resume:
        yield f"run_dir={config.run_dir}: a run that is gone on with keeps its folder; leave it out."
    if config.resume and config.command not in ("unlearn", "benchmark"):
        yield f"resume={config.resume}: only `duolearn unlearn` and `duolearn benchmark` can be resumed."
    if config.forgotten is not None and not config.adapter:
        said = ",".join(config.forgotten)
        yield f"forgotten=[{said}]: that is said of a model to begin with; give adapter=FOLDER too."
    if config.adapter and config.command not in ("evaluate", "unlearn", "audit"):
        yield f"adapter={config.adapter}: only `duolearn unlearn`, `evaluate` and `audit` take one."
