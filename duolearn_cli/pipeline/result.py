"""What a run leaves when its loop has ended: the last checkpoint, the account, the adapter."""

from __future__ import annotations

from collections.abc import Callable

import torch

from duolearn_cli.methods.base import Method, result_of
from duolearn_cli.model.distributed import Processes
from duolearn_cli.pipeline.laboratory import Laboratory, LoadedModel
from duolearn_cli.training.private.step import PrivateSteps


def write_result(
    lab: Laboratory,
    method: Method,
    private: PrivateSteps | None,
    save: Callable[[int], None],
    steps: int,
    processes: Processes,
) -> LoadedModel:
    """Write the last checkpoint and the adapter, which is never without its account: that comes first."""
    folder = lab.run.folder / "adapter"
    if private and lab.is_main:
        folder.mkdir(exist_ok=True)
        for place in (lab.run.folder, folder):
            private.ledger.account.write(place)
    # The checkpoint is where the loop ended, so that a run that goes on from it comes to the same result.
    if lab.is_main or processes.sharded:
        save(steps)
    make_result(lab, method)
    unlearned = lab.hold("unlearned")
    if lab.is_main or processes.sharded:
        lab.model.save_adapter(folder, is_main=lab.is_main)
    return unlearned


@torch.no_grad()
def make_result(lab: Laboratory, method: Method) -> None:
    """Put in place of the adapter what the method makes of it and of the target's, if it makes anything of them."""
    result = result_of(method)
    if result is None:
        return
    ended = [parameter.detach().clone() for parameter in lab.model.adapter]
    lab.load("target")
    for parameter, end in zip(lab.model.adapter, ended, strict=True):
        parameter.copy_(result(parameter.detach().clone(), end))
    lab.display.note("the adapter that is left is made of the loop's end and of the target (method.result)")
