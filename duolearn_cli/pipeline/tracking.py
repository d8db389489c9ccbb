"""Write a run to experiment trackers (`track=`), in a process of its own beside the run.

The process reads the run's own files, so it cannot change a number of the run. Packages that read their settings from
the environment when they are imported get one of their own for each run of a sweep.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from duolearn_cli.config.schema import RunConfig
from duolearn_cli.files import PACKAGE
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.report.terminal import Display

FOLDER, LOG = "trackers", "log.txt"
# Settings of the user's own shell could send values to a server, or into another run.
FOREIGN = ("WANDB_", "MLFLOW_", "TRACKIO_", "DATABRICKS_")
# Seconds that the trackers get to write what is left when the run has ended.
PATIENCE = 300


@contextmanager
def tracked(run: Run, config: RunConfig, display: Display) -> Iterator[None]:
    """Write the run to the trackers that ``track`` names while it is going on.

    A tracker that fails ends no run: a note says where its message is.
    """
    if not config.track:
        yield
        return
    _forget_repeated_steps(run)
    process = _start(run.folder, list(config.track))
    status = "failed"
    try:
        yield
        status = "finished"
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    finally:
        _end(process, status, run.folder, display)


def environment(folder: Path) -> dict[str, str]:
    """The variables of the process: nothing is sent anywhere, and every file lies below `folder`."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return own | {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(PACKAGE.parent), os.environ.get("PYTHONPATH")))),
        # The trackers write numbers, so no GPU memory is taken from the run.
        "CUDA_VISIBLE_DEVICES": "",
        "DO_NOT_TRACK": "true",
        "HF_HUB_OFFLINE": "1",
        # Relative to the process's folder: a path with % or ? would not survive in the address of a database.
        "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "TRACKIO_DIR": str(folder / "trackio"),
        "WANDB_MODE": "offline",
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_SILENT": "true",
        **{f"WANDB_{kind}_DIR": str(folder / "wandb") for kind in ("CACHE", "CONFIG", "DATA", "ARTIFACT")},
    }


def _forget_repeated_steps(run: Run) -> None:
    """Drop history after the last checkpoint, as unlearning does later: a tracker cannot take a step back."""
    from duolearn_cli.training.checkpoint import latest_checkpoint

    checkpoint = latest_checkpoint(run.folder / "checkpoints")
    run.forget_history_after("unlearn", int(checkpoint.name.removeprefix("step-")) if checkpoint else 0)


def _start(run: Path, track: list[str]) -> subprocess.Popen[str]:
    folder = run.absolute() / FOLDER
    folder.mkdir(exist_ok=True)
    # -P: a folder of the trackers must not be taken for a package.
    command = [sys.executable, "-P", "-m", "duolearn_cli.pipeline.tracker", str(run.absolute()), *track]
    with (folder / LOG).open("a", encoding="utf-8") as log:
        # In a session of its own: Ctrl-C is for the run, which then says that it was interrupted.
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=folder,
            env=environment(folder),
            text=True,
            start_new_session=True,
        )


def _end(process: subprocess.Popen[str], status: str, run: Path, display: Display) -> None:
    """Give the process the status of the run, and wait until everything is written."""
    try:
        process.communicate(status, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    if process.returncode:
        display.note(f"warning: a tracker failed; the run itself did not. See {run / FOLDER / LOG}")
