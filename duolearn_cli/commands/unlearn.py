"""duolearn unlearn: the main job."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from duolearn_cli.commands.common import Invocation, check_adapter, dry_run, perform, prepared, reopen
from duolearn_cli.errors import RunError
from duolearn_cli.privacy.plan import plan_unlearning
from duolearn_cli.run import Run

if TYPE_CHECKING:
    from duolearn_cli.experiment import Assessments
    from duolearn_cli.protocol import Laboratory


def run(config: DictConfig, invocation: Invocation) -> str:
    """Make target and gold where they are missing, unlearn, evaluate all four; return the run folder."""
    only_plan, opened = config.dry_run, None
    if config.resume:
        _refuse_changes(invocation.overrides)
        opened, config = reopen(Path(config.resume), invocation.overrides)
    elif config.adapter:
        check_adapter(Path(config.adapter))
    study = prepared(config)
    # A resumed run goes on with the account in its folder.
    account = plan_unlearning(study) if not config.resume else None
    if only_plan:
        dry_run(study, account)
        return ""
    if opened is None:
        opened = Run.create(study.config, invocation.overrides, invocation.sweep_folder)
        if account:
            account.write(opened.folder, account.planned().spent())
    try:
        return perform(study, opened, _stages)
    except KeyboardInterrupt:
        print(f"continue with: duolearn unlearn resume={opened.folder}")
        raise


def _stages(lab: Laboratory) -> Assessments:
    from duolearn_cli import experiment, stage, workers
    from duolearn_cli.assessment import assess

    stage.check_method(lab)
    found = experiment.evaluate(lab, ("base", "target", "gold"))
    if lab.study.config.runtime.num_processes > 1:
        workers.unlearn_in_workers(lab)
    else:
        stage.unlearn_stage(lab)
    found["unlearned"] = assess(lab, "unlearned")
    return found


def _refuse_changes(overrides: Sequence[str]) -> None:
    allowed = ("resume=", "dry_run=", "plugins=", "model.trust_remote_code=")
    changes = [text for text in overrides if not text.startswith(allowed)]
    if changes:
        raise RunError(f"a resumed run keeps its own configuration; leave out: {' '.join(changes)}.")
