"""The result of an unlearning loop: last checkpoint, privacy account and adapter."""

from __future__ import annotations

from collections.abc import Callable

import torch

from duolearn_cli.methods.base import Method, result_of
from duolearn_cli.model.distributed import Processes
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.pipeline.loaded_model import LoadedModel
from duolearn_cli.training.private.step import PrivateSteps


def write_result(
    lab: Laboratory,
    method: Method,
    private: PrivateSteps | None,
    save: Callable[[int], None],
    steps: int,
    processes: Processes,
) -> LoadedModel:
    """Write the account, the last checkpoint and the adapter into the run folder. Return the unlearned model.

    `steps` is the planned number. The last checkpoint has it even if the loop stopped early, so that a resumed run
    takes no further step.
    """
    folder = lab.run.folder / "adapter"
    # The account comes first: an adapter must never exist without it.
    if private and lab.is_main:
        folder.mkdir(exist_ok=True)
        for destination in (lab.run.folder, folder):
            private.ledger.account.write(destination)
    # Before `make_result`: the checkpoint holds the end of the loop, so that a resumed run gets the same result.
    if lab.is_main or processes.sharded:
        save(steps)
    make_result(lab, method)
    unlearned = lab.unlearned()
    if lab.is_main or processes.sharded:
        lab.model.save_adapter(folder, is_main=lab.is_main)
    return unlearned


@torch.no_grad()
def make_result(lab: Laboratory, method: Method) -> None:
    """Replace the adapter by ``method.result(target, end)``, if the method defines it (as task vectors do)."""
    result = result_of(method)
    if result is None:
        return
    ended = [parameter.detach().clone() for parameter in lab.model.adapter]
    # Loading replaces the adapter in place, so the end of the loop has to be copied before.
    lab.load("target")
    for parameter, end in zip(lab.model.adapter, ended, strict=True):
        parameter.copy_(result(parameter.detach().clone(), end))
    lab.display.note("the final adapter is computed from the target and the end of the loop (method.result)")
