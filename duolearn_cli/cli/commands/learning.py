"""The common course of learn and retrain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from duolearn_cli.cli.commands.common import Invocation, dry_run, perform, prepared, readable
from duolearn_cli.pipeline.privacy_plan import plan_learning
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.privacy.account import read_account
from duolearn_cli.report.terminal import Display

if TYPE_CHECKING:
    from duolearn_cli.pipeline.evaluate import Assessments
    from duolearn_cli.pipeline.laboratory import Laboratory


def learn(config: DictConfig, invocation: Invocation, which: str) -> str:
    """Make the ``target`` or ``gold`` model or take it from the cache, evaluate it, copy its adapter to a folder."""
    display = Display()
    study = prepared(config, display)
    account = plan_learning(study) if which == "target" else None
    if config.dry_run:
        dry_run(study, display, account)
        return ""

    study = readable(study, display)

    def stages(lab: Laboratory) -> Assessments:
        from duolearn_cli.pipeline import evaluate

        found = evaluate.evaluate(lab, ("base", which))
        adapter = lab.run.folder / "adapter"
        if account := read_account(lab.folder(which)):
            adapter.mkdir()
            account.write(adapter)
        lab.model.save_adapter(adapter)
        return found

    opened = Run.create(study.config, invocation.overrides, invocation.sweep_folder)
    return perform(study, opened, display, stages)
