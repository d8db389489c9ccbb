"""Run the empirical privacy audit of one configuration: load the target, plant canaries, take the private steps."""

from __future__ import annotations

from dataclasses import replace

from accelerate import Accelerator

from duolearn_cli.audits.privacy.canaries import Finding, audit
from duolearn_cli.config.components import component
from duolearn_cli.errors import present
from duolearn_cli.model.distributed import Processes
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.pipeline.private_run import private_steps
from duolearn_cli.pipeline.requirements import check_method
from duolearn_cli.pipeline.unlearn_run import CHECKPOINTS, make_task, make_update
from duolearn_cli.privacy.ledger import Ledger


def audit_stage(lab: Laboratory) -> list[Finding]:
    """Audit the private unlearning run that the laboratory's configuration describes.

    The audit starts from the same target and takes the same steps as the run would, with canaries added.

    Returns:
        One finding for each protected set.

    Raises:
        ModelError: the adapter has fewer trainable coordinates than there are canaries.
        ConfigError: the method asks for something that the model does not offer (`check_method`).
    """
    config = lab.study.config
    check_method(lab)
    target = lab.load("target")
    processes = Processes(Accelerator(cpu=target.model.device.type == "cpu"))
    task = make_task(target, component(config.method, config.plugins))
    update, _ = make_update(target, task, processes, lab.run.folder / CHECKPOINTS, lab.cache.signature())
    steps = present(private_steps(lab, task, update, processes), "the private steps to audit")
    # No model is released by an audit, so nothing is spent: the account in the run folder keeps stating the plan.
    steps = replace(steps, ledger=Ledger(steps.ledger.account, lab.run.folder, writes=False))
    total = steps.num_steps
    lab.display.stage(f"Audit {lab.study.target.name}: {config.audit.canaries} canaries a set, {total} steps")
    with lab.display.progress("audit", total) as advance:
        return audit(steps, update, config.unlearn, config.audit, config.seed, lambda: advance(n=1))
