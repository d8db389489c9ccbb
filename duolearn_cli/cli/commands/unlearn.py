"""duolearn unlearn: the main job."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from duolearn_cli.cli.commands.beginning import check_beginning, check_words
from duolearn_cli.cli.commands.common import Invocation, dry_run, perform, prepared, readable, refuse_changes, reopen
from duolearn_cli.cli.commands.following import follow
from duolearn_cli.pipeline.planning.fitting import fit
from duolearn_cli.pipeline.privacy_plan import plan_unlearning
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.study import Study
from duolearn_cli.report.terminal import Display

if TYPE_CHECKING:
    from duolearn_cli.privacy.account import Account


def run(config: DictConfig, invocation: Invocation) -> str:
    """Make target and gold where they are missing, unlearn, evaluate all four; return the run folder."""
    only_plan, opened, told = config.dry_run, None, list[str]()
    if config.resume:
        refuse_changes(invocation.overrides, ("resume", "dry_run"), "a resumed run")
        opened, config = reopen(Path(config.resume), invocation.overrides, "unlearn", invocation.config_dir)
    elif config.after:
        config = follow(config, invocation.overrides)
    elif config.adapter:
        told = check_beginning(config, invocation.config_dir)
    display = Display()
    study = prepared(config, display)
    if not opened:
        check_words(study, told)
    # A resumed run goes on with the account in its folder.
    account = plan_unlearning(study) if not config.resume else None
    notes = fit(study)
    if only_plan:
        dry_run(study, display, account)
        for note in notes:
            display.note(note)
        return ""
    study = readable(study, display)
    if study.texts and study.texts.rejected and account:
        account = plan_unlearning(study)
    opened = opened or begin(study, account, invocation)
    try:
        return complete(study, opened, display, notes)
    except KeyboardInterrupt:
        print(f"continue with: duolearn unlearn resume={opened.folder}")
        raise


def begin(study: Study, account: Account | None, invocation: Invocation) -> Run:
    """Make the run folder, with what a private run plans to spend."""
    opened = Run.create(study.config, invocation.overrides, invocation.sweep_folder)
    if account:
        account.write(opened.folder, account.planned().spent())
    return opened


def complete(study: Study, opened: Run, display: Display, notes: Sequence[str]) -> str:
    """Go through the stages of a run that has its folder, from where it was left; return the folder."""

    def stages() -> dict[str, Any]:
        from duolearn_cli.pipeline.run import unlearning_run

        return unlearning_run(study, opened, display, notes)

    return perform(study, opened, display, stages)
