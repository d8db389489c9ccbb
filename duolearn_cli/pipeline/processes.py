"""Unlearning in several processes, and the agreement that makes all of them stop at the same step."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from duolearn_cli.errors import RunError
from duolearn_cli.model.distributed import Processes
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.pipeline.loaded_model import LoadedModel

# Seconds that interrupted workers get to finish their step.
WORKER_PATIENCE = 120


def unlearn_in_workers(lab: Laboratory) -> LoadedModel:
    """Run the unlearning stage in several processes. Return the unlearned model.

    Workers read the frozen configuration in the run folder and never import Hydra.

    Raises:
        RunError: a worker failed.
    """
    count = lab.study.config.runtime.num_processes
    lab.load("target")  # learned here if need be, so that workers find it in the cache
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
    workers = subprocess.Popen([*launcher, "-m", "duolearn_cli.pipeline.worker", str(lab.run.folder.absolute())])
    try:
        status = workers.wait()
    except KeyboardInterrupt:
        # The terminal sends Ctrl-C to the workers too. They finish their step and write a checkpoint.
        workers.wait(timeout=WORKER_PATIENCE)
        raise
    if status:
        raise RunError(f"the {count} unlearning processes ended with status {status}; see their messages above.")
    return lab.load_from("unlearned", lab.run.folder / "adapter")


@contextmanager
def deferred_interrupt() -> Iterator[Any]:
    """Let the step under way finish on the first Ctrl-C; a second one ends the process at once."""
    seen: list[int] = []

    def handler(number: int, frame: Any) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.append(number)

    try:
        previous = signal.signal(signal.SIGINT, handler)
    except ValueError:  # not the main thread, as in some sweep launchers: nothing to defer
        yield lambda: False
        return
    try:
        yield lambda: bool(seen)
    finally:
        signal.signal(signal.SIGINT, previous)


def agreed(stopping: bool, processes: Processes, device: torch.device) -> bool:
    """Return whether any process wants to stop. All must stop at the same step, or some would wait for ever."""
    return (
        stopping
        if processes.count == 1
        else bool(processes.sum_items(torch.tensor(float(stopping), device=device)) > 0)
    )
