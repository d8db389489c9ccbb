"""duolearn evaluate: score a finished run, an adapter or the plain base model."""

from __future__ import annotations

import time
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.commands.common import Invocation, dry_run, prepared
from duolearn_cli.errors import RunError
from duolearn_cli.run import Run


def run(config: DictConfig, invocation: Invocation) -> str:
    """Score `run`'s adapter beside base, target and gold; `adapter` beside base; or base alone, in a new folder."""
    scored = _scored_run(config) if config.run else None
    if scored:
        config = OmegaConf.merge(scored, {"command": "evaluate", "run": config.run, "evaluation": config.evaluation})  # type: ignore[assignment]
    study = prepared(config)
    if config.dry_run:
        dry_run(study)
        return ""
    opened = Run.create(study.config, invocation.overrides, invocation.sweep_folder)
    started = time.monotonic()

    from duolearn_cli import experiment
    from duolearn_cli.protocol import Laboratory
    from duolearn_cli.report.tables import measures_table
    from duolearn_cli.report.terminal import Display

    display = Display()
    with opened.active():
        lab = Laboratory.open(study, display, opened)
        answers = experiment.evaluate(lab, ("base", "target", "gold") if scored else ("base",))
        adapter = Path(config.run) / "adapter" if scored else Path(config.adapter) if config.adapter else None
        if adapter:
            lab.model.load_adapter(adapter)
            answers["unlearned"] = lab.answers("unlearned")
        metrics = experiment.conclude(lab, answers, started)
    display.show(measures_table(metrics))
    display.note(f"written to {opened.folder}: report.html, metrics.json")
    return str(opened.folder)


def _scored_run(config: DictConfig) -> DictConfig:
    run, saved = Run.open(Path(config.run))
    if not (run.folder / "adapter").is_dir():
        raise RunError(
            f"run={config.run}: this run has no adapter (status: {run.info['status']}); "
            f"finish it with resume={config.run}."
        )
    return saved
