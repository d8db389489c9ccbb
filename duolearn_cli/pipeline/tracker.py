"""The process that writes one run to trackers: ``python -m duolearn_cli.pipeline.tracker RUN NAME...``.

It follows history.jsonl until its standard input ends. What comes there is the status of the run; a run that was killed
sends none. Then it writes metrics.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any, cast

from accelerate import PartialState
from accelerate.tracking import GeneralTracker, MLflowTracker, TensorBoardTracker, TrackioTracker, WandBTracker

from duolearn_cli.config.schema import RunConfig
from duolearn_cli.pipeline import tracked_values
from duolearn_cli.pipeline.run_folder import Run

PROJECT = "duolearn"
# Seconds between two looks at history.jsonl.
PERIOD = 1.0
LOCAL = ("127.0.0.1", "::1", "localhost", "", None)


@dataclass
class Follower:
    """Writes each line of a run's history once to every tracker."""

    run: Run
    stage: str
    trackers: Sequence[GeneralTracker]
    step: int = 0
    seen: set[tuple[int, frozenset[str]]] = field(default_factory=set)

    def follow(self) -> None:
        """Write the lines that are new."""
        for line in self._new_lines():
            self.step = line["step"]
            self.log(tracked_values.of_step(line))

    def log(self, values: Mapping[str, Any]) -> None:
        for tracker in self.trackers:
            tracker.log(dict(values), step=self.step)

    def conclude(self) -> None:
        """Write the measures and the verdict of a finished run."""
        metrics = json.loads((self.run.folder / "metrics.json").read_text(encoding="utf-8"))
        self.log(tracked_values.final(metrics))
        for tracker in self.trackers:
            write_texts(tracker, tracked_values.verdict(metrics), self.step)

    def _new_lines(self) -> Iterator[Mapping[str, Any]]:
        """A step has a line of diagnostics and may have one of a quick evaluation: their keys tell them apart."""
        for line in complete_lines(self.run.folder / "history.jsonl"):
            key = (line["step"], frozenset(line))
            if line["stage"] == self.stage and key not in self.seen:
                self.seen.add(key)
                yield line


def complete_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a history that is being written: the last one may still be incomplete."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def tensorboard(folder: Path, label: str, tags: list[str]) -> GeneralTracker:
    # A resumed run writes all of its steps again, so it needs a folder that holds none.
    used = len(list(folder.glob("tensorboard*")))
    return TensorBoardTracker(f"tensorboard-{used + 1}" if used else "tensorboard", str(folder))


def mlflow(folder: Path, label: str, tags: list[str]) -> GeneralTracker:
    # MLflow would fill in the user's login and the path of this module.
    shown = {"mlflow.user": "", "mlflow.source.name": PROJECT, "tags": ", ".join(tags)}
    return MLflowTracker(PROJECT, logging_dir=(folder / "mlflow-artifacts").as_uri(), run_name=label, tags=shown)


def trackio(folder: Path, label: str, tags: list[str]) -> GeneralTracker:
    return TrackioTracker(PROJECT, name=label, embed=False, auto_log_gpu=False, auto_log_cpu=False)


def wandb(folder: Path, label: str, tags: list[str]) -> GeneralTracker:
    # Without these, W&B records host, login, paths, command line, Git remote and the load of the machine.
    quiet = {
        "console": "off",
        "disable_code": True,
        "disable_git": True,
        "disable_job_creation": True,
        "host": "",
        "x_disable_machine_info": True,
        "x_disable_meta": True,
        "x_disable_stats": True,
        "x_save_requirements": False,
    }
    return WandBTracker(PROJECT, name=label, tags=tags, mode="offline", dir=str(folder), settings=quiet)


MAKERS: dict[str, Callable[[Path, str, list[str]], GeneralTracker]] = {
    maker.__name__: maker for maker in (tensorboard, mlflow, trackio, wandb)
}


def write_texts(tracker: GeneralTracker, texts: dict[str, str], step: int) -> None:
    if isinstance(tracker, MLflowTracker):  # its metrics are numbers
        import mlflow  # type: ignore[import-not-found]

        mlflow.set_tags(texts)
    elif texts:
        tracker.log(texts, step=step)


def finish(tracker: GeneralTracker, status: str) -> None:
    """Close a tracker. Those that show how a run ended get its status."""
    if isinstance(tracker, MLflowTracker):
        import mlflow  # type: ignore[import-not-found]

        mlflow.end_run({"finished": "FINISHED", "interrupted": "KILLED"}.get(status, "FAILED"))
    elif isinstance(tracker, WandBTracker):
        tracker.tracker.finish(exit_code=int(status != "finished"))
    else:
        tracker.finish()


def refuse_network(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook of Python: raise before anything is sent to another machine."""
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if host not in LOCAL:
        raise PermissionError(f"a tracker may not connect to {host!r}: nothing of a run leaves this machine")


def write(run: Run, config: RunConfig, trackers: Sequence[GeneralTracker], ended: Callable[[float], str | None]) -> str:
    """Write a run to trackers until it has ended. Return its status.

    Args:
        ended: waits for as many seconds at most; returns the status of the run once it has ended, None before.
    """
    for tracker in trackers:
        tracker.start()
        tracker.store_init_configuration(tracked_values.settings(config))
    follower = Follower(run, config.command, trackers)
    status = None
    while status is None:
        status = ended(PERIOD)
        follower.follow()
    if status == "finished":
        follower.conclude()
    for tracker in trackers:
        finish(tracker, status)
    return status


def status_of_run() -> Callable[[float], str | None]:
    """Return a function that waits for the status on standard input."""
    received: list[str] = []
    done = Event()

    def read() -> None:
        received.append(sys.stdin.read() or "killed")
        done.set()

    Thread(target=read, daemon=True).start()
    return lambda seconds: received[0] if done.wait(seconds) else None


def main(folder: str, *names: str) -> None:
    sys.addaudithook(refuse_network)
    # Accelerate asks it which process is the main one. Made here for the CPU, it takes no GPU.
    PartialState(cpu=True)
    run, config = Run.open(Path(folder))
    label = config.name or run.folder.name
    trackers = [MAKERS[name](Path.cwd(), label, list(config.tags)) for name in names]
    write(run, cast(RunConfig, config), trackers, status_of_run())


if __name__ == "__main__":
    main(*sys.argv[1:])
