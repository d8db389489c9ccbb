"""duolearn evaluate: score a finished run, an adapter or the plain base model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from duolearn_cli.cli.commands.beginning import check_words, expand, note_of, recorded_by
from duolearn_cli.cli.commands.common import (
    LIMITS,
    Invocation,
    check_adapter,
    dry_run,
    perform,
    prepared,
    readable,
    refuse_changes,
    reopen,
    with_changes,
)
from duolearn_cli.cli.commands.limits import limits_note
from duolearn_cli.cli.commands.rescored import items_note
from duolearn_cli.config.explain import key_of
from duolearn_cli.config.given_target import given_models
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.report.terminal import Display

# Settings of the command line that are used when a run is scored again; all others are those of the run.
CHANGEABLE = (
    *("run", "name", "tags", "track", "record", "evaluation", "measures", "report", "verdict", "runtime"),
    *("output_dir", "run_dir", "cache_dir", "dry_run"),
)


def run(config: DictConfig, invocation: Invocation) -> str:
    """Score a model into a new run folder, and return it.

    With ``run=``, score the run's adapter next to base, target and gold. With ``adapter=``, score that adapter next to
    the base. With neither, score the base alone.
    """
    only_plan, scored = config.dry_run, bool(config.run)
    adapter = Path(config.run) / "adapter" if scored else Path(config.adapter) if config.adapter else None
    if scored:
        config = _configuration_of_run(config, invocation.overrides)
    if adapter:
        check_adapter(adapter)
    if not scored:
        expand(config, invocation.config_dir)
    display = Display()
    study = prepared(config, display)
    if not scored:
        recorded = recorded_by(adapter, study.hierarchy) or [] if adapter else []
        check_words(study, recorded)
        for note in filter(None, (note_of(study, recorded), limits_note(study, invocation.overrides))):
            display.note(note)
    if only_plan:
        dry_run(study, display)
        return ""

    study = readable(study, display)
    if scored and (note := items_note(study, Path(config.run))):
        display.note(note)

    def stages() -> dict[str, Any]:
        from duolearn_cli.pipeline.run import evaluation_run

        # The target and gold of a bare adapter are not known, so only the base is left to compare it with.
        models = given_models(study.config) if scored else ("base",)
        return evaluation_run(study, opened, display, models, adapter)

    opened = Run.create(study.config, invocation.overrides, invocation.sweep_folder)
    return perform(study, opened, display, stages)


def _configuration_of_run(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    refuse_changes(overrides, (*CHANGEABLE, *LIMITS, "+measure"), "a run that is scored again")
    _, saved = reopen(Path(config.run), overrides)
    # Modules that the run trusts are among those that the command line trusts: see `reopen`.
    merged = with_changes(saved, "evaluate", config, (*CHANGEABLE, "plugins"), overrides)
    if not any(key_of(text) == "evaluation.part" for text in overrides):
        # The part belongs to the run: scored again on all facts, its figures would differ from its own for that alone.
        merged.evaluation.part = saved.evaluation.part
    return merged
