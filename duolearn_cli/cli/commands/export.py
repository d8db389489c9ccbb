"""duolearn export: a run's model for others, or its erasure record."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.cli.commands.common import Invocation, refuse_changes, reopen
from duolearn_cli.cli.commands.verify import content_of_page, verify
from duolearn_cli.config.explain import key_of
from duolearn_cli.evaluation import lm_eval
from duolearn_cli.pipeline.export_plan import ExportPlan, check_folder, export_folder, plan_export, whole
from duolearn_cli.report.erasure import write_erasure_record
from duolearn_cli.report.terminal import Display

# Settings that the command line may give. All others are those of the run.
CHANGEABLE = ("run", "format", "export", "export_path", "cache_dir", "dry_run", "model.path", "model.allow_download")
OF_RECORD = ("run", "format", "export_path", "cache_dir", "dry_run", "runtime", "verify")
PAGE = "erasure.html"


def run(config: DictConfig, invocation: Invocation) -> str:
    """Write the folder, and print how to measure general ability with a model in it. Return the folder.

    Raises:
        RunError, ModelError: see `plan_export`, `export` and `verify`.
    """
    if config.format == "record":
        return _write_record(config, invocation)
    refuse_changes(invocation.overrides, CHANGEABLE, "a run whose model is exported")
    # A purge leaves the adapter, and an export learns nothing again (docs/deployment.md).
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


def _write_record(config: DictConfig, invocation: Invocation) -> str:
    """Verify the run and write its erasure record, one page, into a folder. Return the folder."""
    refuse_changes(invocation.overrides, OF_RECORD, "a run whose record is exported")
    run, display = Path(config.run), Display()
    folder = export_folder(config, run)
    check_folder(folder, run)
    if config.dry_run:
        display.note(f"{run}: its erasure record to {folder / PAGE}, with the same as JSON, once the run is verified")
        return ""
    content = content_of_page(run, verify(config, invocation, display))
    with whole(folder) as part:
        write_erasure_record(part / PAGE, content)
    display.note(f"erasure record: {folder / PAGE}, and the same as JSON beside it")
    return str(folder)


def command(plan: ExportPlan) -> str:
    """The shell command that runs lm-evaluation-harness on the exported model."""
    if plan.format == "merged":
        return lm_eval.command(str(plan.folder), {}, None)
    return lm_eval.command(plan.weights.location, plan.weights.arguments(), plan.folder)
