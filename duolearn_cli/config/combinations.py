"""Check settings that are valid alone and impossible together, or impossible with the command."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.config import comparison, following, given_target, robustness
from duolearn_cli.config.layers import layers_problem
from duolearn_cli.config.schema import ModelConfig, RuntimeConfig
from duolearn_cli.config.settings import NAME
from duolearn_cli.config.tracking import track_problems
from duolearn_cli.config.unlearning import WITH_MOMENTUM, UnlearnConfig
from duolearn_cli.config.values import NAME_HINT, within
from duolearn_cli.files import reason

WITH_RUN_FOLDER = ("learn", "retrain", "unlearn", "evaluate", "audit", "bench", "benchmark")
MAKES_FOLDER = (*WITH_RUN_FOLDER, "compare")
# Beside `audit robustness`.
TAKE_RUN = ("evaluate", "export", "purge", "verify", "withdraw", "report", "ask")


def problems(config: DictConfig, methods: Mapping[str, str]) -> Iterator[str]:
    """Yield every problem of a configuration whose single values are sound.

    Args:
        methods: the options of ``method=``, with what each is.
    """
    # The name is a part of the name of the run folder.
    if not OmegaConf.is_missing(config.forget, "name") and not re.fullmatch(NAME, config.forget.name):
        yield f"forget.name={config.forget.name}: {NAME_HINT}"
    yield from _weights(config)
    yield from (f"plugins: {name!r} is no module's name, such as my_methods." for name in _no_modules(config.plugins))
    yield from _folders(config)
    if problem := layers_problem(config.model.adapter.layers):
        yield problem
    yield from _views(config)
    if config.audit.guesses and config.audit.guesses > config.audit.canaries:
        yield f"audit.guesses={config.audit.guesses}: allowed: {config.audit.canaries} (audit.canaries) or less."
    yield from (f"audit.robustness.{problem}" for problem in robustness.list_problems(config.audit.robustness))
    yield from (f"benchmark.{problem}" for problem in comparison.list_problems(config.benchmark, methods))
    yield from _runs(config)
    yield from following.label_problems(config.name, config.tags)
    if (config.name or config.tags) and config.command not in WITH_RUN_FOLDER:
        yield f"name, tags: `duolearn {config.command}` makes no run that could have them; leave them out."
    yield from track_problems(config.track, config.command)
    yield from (f"ask.{problem}" for problem in following.ask_problems(config.ask))
    yield from _exports(config)
    yield from _deletions(config)
    yield from _adapters(config)
    yield from given_target.list_problems(config)
    yield from _trusted_answers(config)
    yield from _processes(config)
    yield from _quantization(config.model, config.runtime)
    yield from _momentum(config.unlearn)


def _weights(config: DictConfig) -> Iterator[str]:
    # HMTA divides by sums of these weights, so they must not all be 0.
    weights = config.evaluation.hmta_weights
    if len(weights) != 4 or not all(within(weight, 0, None) for weight in weights) or not any(weights):
        yield f"evaluation.hmta_weights={list(weights)}: four numbers of 0 or more are needed, not all 0."


def _no_modules(names: Sequence[str]) -> list[str]:
    return [name for name in names if not all(part.isidentifier() for part in str(name).split("."))]


def _folders(config: DictConfig) -> Iterator[str]:
    """Yield folders that do not exist, and empty names, as an unset variable of a script gives them."""
    for name in ("resume", "run", "adapter", "after"):
        value = config.get(name)
        if value and (fault := _no_folder(Path(value))):
            yield f"{name}={value}: {fault}."
    for name in ("run_dir", "resume", "run", "adapter", "after", "output_dir", "cache_dir"):
        also = " (hydra.run.dir)" * (name == "run_dir")
        value = config.get(name)
        if value is not None and not value.strip():
            yield f"{name}={value}{also}: the folder has no name; give {name}=FOLDER, or leave it out."


def _no_folder(folder: Path) -> str:
    """Return why a path is no folder that this user may read; an empty string for one."""
    try:
        if not folder.is_dir():
            return "there is no such folder"
    except PermissionError:  # of a folder above it
        pass
    except (OSError, ValueError) as error:
        return reason(error)
    return "" if os.access(folder, os.R_OK | os.X_OK) else "this user may not read the folder; ask its owner"


def _views(config: DictConfig) -> Iterator[str]:
    finds = config.command == "hierarchy" and config.hierarchy_view.action == "find"
    if finds and not (config.hierarchy_view.get("text") or "").strip():
        yield 'which text? duolearn hierarchy find "TEXT"'


def _runs(config: DictConfig) -> Iterator[str]:
    """Yield what the command requires or does not take: a run to score or attack, a run folder, a run to continue."""
    attacks = config.command == "audit" and config.audit.kind == "robustness"
    if attacks and not config.run:
        yield "run is not set: which run is attacked? Give run=FOLDER, of a finished `duolearn unlearn`."
    if config.run and config.command not in TAKE_RUN and not attacks:
        yield (
            f"run={config.run}: only `duolearn evaluate`, `audit robustness`, `export`, `purge`, `verify`, `withdraw`, "
            "`report` and `ask` take run; allowed here: resume=RUN to continue a run."
        )
    if config.request and config.command != "withdraw":
        yield f"request={config.request}: only `duolearn withdraw` takes one."
    if config.run_dir and config.command not in MAKES_FOLDER:
        yield f"run_dir={config.run_dir}: `duolearn {config.command}` makes no run folder; leave it out."
    if config.run_dir and config.resume:
        yield f"run_dir={config.run_dir}: a run that is gone on with keeps its folder; leave it out."
    if config.resume and config.command not in ("unlearn", "benchmark"):
        yield f"resume={config.resume}: only `duolearn unlearn` and `duolearn benchmark` can be resumed."


def _exports(config: DictConfig) -> Iterator[str]:
    """What `duolearn export` needs and does not take."""
    if config.export_path is not None and not config.export_path.strip():
        yield f"export_path={config.export_path}: the path is empty; give one, or leave it out."
    if config.command != "export":
        return
    if not config.run:
        yield (
            "run is not set: which run's model is exported? Give run=FOLDER, of a finished run. To write the items of "
            "a data set, use `duolearn data export export_path=FILE` (its former name is duolearn export)."
        )
    if config.format == "adapter" and config.export.precision != "fp32":
        yield f"export.precision={config.export.precision}: an adapter is copied unchanged; allowed with it: fp32."
    if config.format == "record" and config.export.precision != "fp32":
        yield f"export.precision={config.export.precision}: format=record holds no weights; leave it out."


def _deletions(config: DictConfig) -> Iterator[str]:
    """Nothing is deleted unless the command line says what."""
    is_named, cache = not OmegaConf.is_missing(config.forget, "name"), config.cache
    if config.command == "purge" and bool(config.run) == is_named:
        given = "both run and forget are set" if config.run else "neither run nor forget is set"
        yield f"purge: {given}; give run=FOLDER for the traces of one run, or +forget=NAME for those of all runs."
    # Not by truth: 0 days is a choice, namely everything.
    is_chosen = cache.older_than is not None or cache.unused is not None or cache.names
    if config.command == "cache" and cache.action == "prune" and not is_chosen:
        yield (
            "cache prune: nothing says what to delete; give cache.older_than=DAYS, cache.unused=DAYS, "
            "cache.names=[NAME,...] or several of them. cache.names=[*] is everything."
        )


def _adapters(config: DictConfig) -> Iterator[str]:
    """Yield a model to begin with, or what it has forgotten, for a command that takes none."""
    if config.forgotten is not None and not config.adapter:
        said = ",".join(config.forgotten)
        yield f"forgotten=[{said}]: it describes a model to begin with; give adapter=FOLDER too."
    if config.requests and not config.after:
        yield "requests: it is read from the record of earlier requests; give after=RUN instead."
    if config.unlearn.rehearse and not (config.after or config.requests):
        yield (
            f"unlearn.rehearse={config.unlearn.rehearse}: without after=RUN there are no earlier requests; allowed: 0."
        )
    if (config.merged or config.origin) and not config.after:
        yield "merged, origin: they are set by the record of earlier requests; give after=FOLDER instead."
    if config.after and config.command != "unlearn":
        yield f"after={config.after}: only `duolearn unlearn` continues a chain of requests."
    if config.adapter and config.command not in ("evaluate", "unlearn", "audit"):
        yield f"adapter={config.adapter}: only `duolearn unlearn`, `evaluate` and `audit` take one."


def _trusted_answers(config: DictConfig) -> Iterator[str]:
    if config.labels.answers == "trusted" and config.evaluation.part != "all":
        yield (
            f"labels.answers=trusted: the target is asked what is scored, and evaluation.part={config.evaluation.part} "
            "scores a part; allowed with it: all."
        )


def _processes(config: DictConfig) -> Iterator[str]:
    runtime = config.runtime
    if runtime.sharding != "none" and runtime.num_processes == 1:
        yield (
            f"runtime.sharding={runtime.sharding}: one process has nothing to share; give runtime.num_processes=2 or "
            "more."
        )
    if runtime.num_processes > 1 and config.command != "unlearn":
        yield f"runtime.num_processes={runtime.num_processes}: only `duolearn unlearn` uses several processes."


def _quantization(model: ModelConfig, runtime: RuntimeConfig) -> Iterator[str]:
    """Yield settings that cannot be combined with a quantised model."""
    if model.quantization == "none":
        return
    if runtime.device == "cpu":
        yield f"model.quantization={model.quantization}: needs a GPU; allowed with runtime.device=cpu: none."
    if runtime.sharding != "none":
        yield (
            f"model.quantization={model.quantization}: quantised layers are not cut over processes; allowed with "
            f"runtime.sharding={runtime.sharding}: none."
        )


def _momentum(settings: UnlearnConfig) -> Iterator[str]:
    if settings.momentum and settings.optimizer not in WITH_MOMENTUM:
        allowed = " or ".join(f"unlearn.optimizer={name}" for name in WITH_MOMENTUM)
        yield f"unlearn.momentum={settings.momentum}: {settings.optimizer} has none to set; allowed: 0, or {allowed}."
