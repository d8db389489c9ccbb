"""Unlearning in several processes, and the agreement that makes all of them stop at the same step."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from duolearn_cli.errors import Interrupted, RunError
from duolearn_cli.model.distributed import Processes
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.pipeline.loaded_model import LoadedModel

# Seconds that interrupted workers get to finish their step, and that the others get when one has died.
WORKER_PATIENCE, GRACE = 120, 5
# Ctrl-C, the end of a batch job (Slurm, Kubernetes, Docker), the end of a terminal.
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = tuple(128 + number for number in STOPPING)
# The environment variable with the number of the pipe that ends with the parent.
LIFELINE = "DUOLEARN_LIFELINE"


def unlearn_in_workers(lab: Laboratory) -> LoadedModel:
    """Run the unlearning stage in several processes. Return the unlearned model.

    Workers read the frozen configuration in the run folder and never import Hydra.

    Raises:
        KeyboardInterrupt: this process or a worker was interrupted; the last step is saved.
        RunError: a worker failed.
    """
    count, folder = lab.study.config.runtime.num_processes, lab.run.folder.absolute()
    lab.load("target")  # learned here if need be, so that workers find it in the cache
    with started(count, [sys.executable, "-m", "duolearn_cli.pipeline.worker", str(folder)]) as workers:
        failed = first_failure(workers)
    if failed is not None:
        rank, status = failed
        if status in INTERRUPTED:
            raise Interrupted(status - 128)
        raise RunError(
            f"unlearning process {rank + 1} of {count} ended with status {status}; its message is above, or in "
            f"{folder / 'log.txt'}. Continue with: duolearn unlearn resume={lab.run.folder}"
        )
    return lab.load_from("unlearned", lab.run.folder / "adapter")


@contextmanager
def started(count: int, command: Sequence[str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start workers that find each other by environment variables, as torchrun's do, and end them with the block.

    Workers have a session of their own: a terminal's Ctrl-C reaches this process alone, which passes it on once. A pipe
    whose other end is here tells them when this process dies, however it dies.
    """
    end, lifeline = os.pipe()
    workers: list[subprocess.Popen[bytes]] = []
    try:
        for environment in _environments(count, end):
            workers.append(subprocess.Popen(command, env=environment, pass_fds=(end,), start_new_session=True))
        yield workers
    except KeyboardInterrupt:
        # Not SIGINT: a shell that starts a job in the background has it ignored, in workers too.
        _end(workers, signal.SIGTERM, WORKER_PATIENCE)
        raise
    finally:
        _end(workers, signal.SIGKILL, GRACE)
        os.close(end)
        os.close(lifeline)


def _environments(count: int, end: int) -> Iterator[dict[str, str]]:
    with socket.socket() as probe:  # a port that is free now; rank 0 listens there
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for rank in range(count):
        # One thread each unless the user says otherwise: more would fight for the same cores.
        yield (
            {"OMP_NUM_THREADS": "1"}
            | os.environ
            | {
                **{
                    "RANK": str(rank),
                    "LOCAL_RANK": str(rank),
                    "WORLD_SIZE": str(count),
                    "LOCAL_WORLD_SIZE": str(count),
                },
                **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), LIFELINE: str(end)},
            }
        )


def first_failure(workers: Sequence[subprocess.Popen[bytes]]) -> tuple[int, int] | None:
    """Wait for all workers. Return rank and status of the first that fails, after the others have had a moment too.

    A worker whose peer has died waits for it, or fails with an error about the connection, which nobody needs to read.
    """
    while None in [worker.poll() for worker in workers]:  # a list: every worker is asked, also behind one that runs
        if failed := _failed(workers):
            _end(workers, None, GRACE)
            return failed
        time.sleep(0.1)
    return _failed(workers)


def _failed(workers: Sequence[subprocess.Popen[bytes]]) -> tuple[int, int] | None:
    ended = ((rank, worker.returncode) for rank, worker in enumerate(workers) if worker.returncode)
    # A process that a signal killed has a negative status; shells say 128 more than the signal.
    return next(((rank, 128 - status if status < 0 else status) for rank, status in ended), None)


def _end(workers: Sequence[subprocess.Popen[bytes]], number: signal.Signals | None, patience: float) -> None:
    """Send the workers that run a signal and wait; kill what is left then."""
    for worker in workers:
        if worker.poll() is None and number is not None:
            worker.send_signal(number)
    until = time.monotonic() + patience
    for worker in workers:
        try:
            worker.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


@contextmanager
def deferred_interrupt() -> Iterator[Any]:
    """Let the step under way finish on the first signal to stop; a second one ends the process at once.

    Raises:
        Interrupted: the block ended by KeyboardInterrupt after a signal other than Ctrl-C.
    """
    seen: list[int] = []

    def handler(number: int, frame: Any) -> None:
        if seen:
            raise Interrupted(number)
        seen.append(number)

    previous = {}
    try:
        for number in STOPPING:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                previous[number] = signal.signal(number, handler)
    except ValueError:  # not the main thread, as in some sweep launchers: nothing to defer
        yield lambda: False
        return
    try:
        yield lambda: bool(seen)
    except KeyboardInterrupt as error:
        raise Interrupted(seen[0] if seen else signal.SIGINT) from error
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


def agreed(stopping: bool, processes: Processes, device: torch.device) -> bool:
    """Return whether any process wants to stop. All must stop at the same step, or some would wait for ever."""
    return (
        stopping
        if processes.count == 1
        else bool(processes.sum_items(torch.tensor(float(stopping), device=device)) > 0)
    )


def end_with_parent() -> None:
    """Watch the pipe to the process that started this one, and end at once when it has died."""
    import threading

    number = os.environ.get(LIFELINE)
    if number is None:
        return

    def watch(end: int) -> None:
        os.read(end, 1)  # nobody writes: this returns when the other end is closed
        os._exit(1)

    threading.Thread(target=watch, args=(int(number),), daemon=True).start()
