"""duolearn unlearn: make the unlearned model. This is the main command."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from duolearn_cli.cli.commands.beginning import check_beginning, check_words
from duolearn_cli.cli.commands.common import (
    Invocation,
    dry_run,
    perform,
    prepared,
    readable,
    refuse_changes,
    reopen,
    with_changes,
)
from duolearn_cli.cli.commands.following import follow
from duolearn_cli.config.explain import key_of
from duolearn_cli.config.patient_key import patient_key
from duolearn_cli.errors import UserError
from duolearn_cli.pipeline.planning.fitting import fit
from duolearn_cli.pipeline.privacy_plan import check_resumed, plan_unlearning
from duolearn_cli.pipeline.private_starts import register, start_of
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.study import Study
from duolearn_cli.report.terminal import Display

if TYPE_CHECKING:
    from duolearn_cli.privacy.account import Account


def run(config: DictConfig, invocation: Invocation) -> str:
    """Learn target and gold unless cached, unlearn, and evaluate all four models. Return the run folder."""
    only_plan, opened, forgotten = config.dry_run, None, list[str]()
    # The key is used when all is done: a wrong one must be known before anything is learned.
    patient_key(config.patient_key)
    if config.resume:
        refuse_changes(invocation.overrides, ("resume", "record", "track", "dry_run"), "a resumed run")
        keys = {key_of(text).partition(".")[0] for text in invocation.overrides}
        given = [key for key in ("record", "track") if key in keys]
        opened, saved = reopen(Path(config.resume), invocation.overrides, "unlearn", invocation.config_dir)
        config = with_changes(saved, "unlearn", config, given, invocation.overrides)
    elif config.after:
        config = follow(config, invocation.overrides)
    elif config.adapter:
        forgotten = check_beginning(config, invocation.config_dir)
    display = Display()
    study = prepared(config, display)
    if not opened:
        check_words(study, forgotten)
    # A resumed run continues with the account in its folder.
    account = None
    if opened:
        check_resumed(study.config, opened.folder)
    else:
        account = plan_unlearning(study)
    # Before the folder is made: the chosen micro-batch goes into config.yaml, and a resumed run is cut the same way.
    notes = fit(study)
    if only_plan:
        dry_run(study, display, account)
        for note in notes:
            display.note(note)
        return ""
    study = readable(study, display)
    # Fewer items mean fewer units, and so another noise multiplier.
    if study.texts and study.texts.rejected and account:
        account = plan_unlearning(study)
    opened = opened or begin(study, account, invocation)
    try:
        return complete(study, opened, display, notes)
    except KeyboardInterrupt:
        print(f"continue with: duolearn unlearn resume={opened.folder}")
        raise


def begin(study: Study, account: Account | None, invocation: Invocation) -> Run:
    """Create the run folder, with the planned account of a private run."""
    opened = Run.create(study.config, invocation.overrides, invocation.sweep_folder)
    if account:
        account.write(opened.folder, account.planned().spent())
        # A first private run has a budget of its own. Later ones share that of the model that they begin with.
        if (start := start_of(study.config)) and len(account.entries) > 1:
            _register(start, opened, account)
    return opened


def _register(start: Path, opened: Run, account: Account) -> None:
    """Leave the run's account beside the model that it begins with. The folder of a refused run is removed."""
    try:
        register(start, opened.folder, account)
    except UserError:
        shutil.rmtree(opened.folder)
        raise


def complete(study: Study, opened: Run, display: Display, notes: Sequence[str]) -> str:
    """Run the stages of a run in its folder, from where it stopped. Return the folder."""

    def stages() -> dict[str, Any]:
        from duolearn_cli.pipeline.run import unlearning_run

        return unlearning_run(study, opened, display, notes)

    return perform(study, opened, display, stages)
