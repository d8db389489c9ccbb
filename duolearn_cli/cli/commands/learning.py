"""What the commands learn and retrain have in common."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig

from duolearn_cli.cli.commands.common import Invocation, dry_run, perform, prepared, readable
from duolearn_cli.pipeline.privacy_plan import plan_learning
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.report.terminal import Display


def learn(config: DictConfig, invocation: Invocation, which: str) -> str:
    """Learn the ``target`` or ``gold`` model unless cached, evaluate it, and copy its adapter into a run folder."""
    display = Display()
    study = prepared(config, display)
    account = plan_learning(study) if which == "target" else None
    if config.dry_run:
        dry_run(study, display, account)
        return ""

    study = readable(study, display)

    def stages() -> dict[str, Any]:
        from duolearn_cli.pipeline.run import learning_run

        return learning_run(study, opened, display, which)

    opened = Run.create(study.config, invocation.overrides, invocation.sweep_folder)
    return perform(study, opened, display, stages)
