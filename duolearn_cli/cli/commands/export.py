"""duolearn export: a run's model, to be handed on."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.cli.commands.common import Invocation, refuse_changes, reopen
from duolearn_cli.config.explain import key_of
from duolearn_cli.evaluation import lm_eval
from duolearn_cli.pipeline.export_plan import ExportPlan, plan_export
from duolearn_cli.report.terminal import Display

# What an export takes from the command line; all else is the run's own.
CHANGEABLE = ("run", "format", "export", "export_path", "cache_dir", "dry_run", "model.path", "model.allow_download")


def run(config: DictConfig, invocation: Invocation) -> str:
    """Write the folder and print how to measure general ability with it; return the folder.

    Raises:
        RunError, ModelError: see `plan_export` and `export`.
    """
    refuse_changes(invocation.overrides, CHANGEABLE, "a run whose model is exported")
    # A purge leaves the adapter, and an export learns nothing anew (docs/deployment.md).
    opened, saved = reopen(Path(config.run), invocation.overrides, None, invocation.config_dir, purged=True)
    given = [key_of(text) for text in invocation.overrides]
    for key in ("cache_dir", "model.path", "model.allow_download"):
        if key in given:
            OmegaConf.update(saved, key, OmegaConf.select(config, key))
    plan, display = plan_export(opened, saved, config), Display()
    if config.dry_run:
        display.note(plan.sentence())
        return ""
    display.stage("Start PyTorch")
    from duolearn_cli.pipeline.export import export

    exported = export(plan, display)
    display.note(f"written to {exported.folder}: {', '.join(exported.files)}")
    if exported.difference is not None:
        display.note(
            f"read again, it answers as the run's model: {exported.difference:.1e} nats apart at most on a probe text"
        )
    display.note(f"general ability by lm-evaluation-harness: {command(plan)}")
    return str(exported.folder)


def command(plan: ExportPlan) -> str:
    """The shell command that runs lm-evaluation-harness on the exported model."""
    if plan.format == "merged":
        return lm_eval.command(str(plan.folder), {}, None)
    return lm_eval.command(plan.weights.location, plan.weights.arguments(), plan.folder)
