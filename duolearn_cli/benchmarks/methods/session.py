"""One benchmark under way: which runs are to be done next, by this process or by others that share the folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import OmegaConf

from duolearn_cli.benchmarks.methods.choice import CRITERION, Worth, chosen, worth
from duolearn_cli.benchmarks.methods.jobs import Job, Value, reported, trial
from duolearn_cli.benchmarks.methods.record import Result, Results, read_metrics
from duolearn_cli.benchmarks.methods.results import figures
from duolearn_cli.benchmarks.methods.status import FINISHED, SETTLED, status_of
from duolearn_cli.config.components import dataset_name
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.errors import RunError, present
from duolearn_cli.evaluation.measures.central import FORGETTING, KEEPING
from duolearn_cli.report.terminal import Display

# Seconds between looks at what other processes have done.
PATIENCE = 2.0
# What is said of each run: fields of `Worth`, with the measures that they are.
POINTS = {"forgetting": FORGETTING, "keeping": KEEPING}


@dataclass(frozen=True, eq=False)
class Session:
    """The runs of a benchmark in its `folder`. What is done is read from there, so any process can go on at any time.

    Args:
        tries: settings of every method's tries.
        perform: does a job, leaving a run folder that says whether it finished or diverged; what else fails is raised.
        epochs: numbers of passes, one at least.
        learns: each reported seed has a target and a gold of its own.
    """

    folder: Path
    tries: Mapping[str, Sequence[Mapping[str, Value]]]
    seed: int
    seeds: Sequence[int]
    epochs: Sequence[int]
    perform: Callable[[Job], None]
    display: Display
    learns: bool = False
    _read: dict[PurePosixPath, Worth | None] = field(default_factory=dict)

    def complete(self) -> None:
        """Do all that is left. Processes that do this side by side share the runs among them."""
        with self.display.progress("benchmark", self.num_jobs) as advance:
            told: set[PurePosixPath] = set()
            while True:
                for job in self._settled(told):
                    told.add(job.folder)
                    self._tell(job)
                    advance()
                ready = [job for job in self._known() if not self.is_settled(job)]
                if not ready and len(told) == len(self._known()):
                    return
                if not any(self._do(job) for job in ready):
                    time.sleep(PATIENCE)

    @property
    def num_jobs(self) -> int:
        """How many runs there are at most: of a method whose tries all fail, none is reported."""
        per_method = len(self.seeds) * len(self.epochs)
        return sum(map(len, self.tries.values())) + per_method * len(self.tries)

    def status(self, job: Job) -> str:
        """How a job's run stands, see `status_of`."""
        return status_of(self.folder / job.folder, job.overrides)

    def is_settled(self, job: Job) -> bool:
        return self.status(job) in SETTLED

    def trials(self, method: str) -> list[Job]:
        return [trial(method, place, settings, self.seed) for place, settings in enumerate(self.tries[method])]

    def worths(self, method: str) -> list[Worth | None]:
        """What each try is worth; None of one that diverged, has not finished, or where that is undefined."""
        return [self._worth(job) for job in self.trials(method)]

    def choice(self, method: str) -> int | None:
        """The place of the best try once all are settled; None before that, or where none is worth anything."""
        if not all(map(self.is_settled, self.trials(method))):
            return None
        return chosen(self.worths(method))

    def runs(self, method: str) -> list[Job]:
        """The runs with the chosen settings; none before they are chosen."""
        place = self.choice(method)
        return (
            []
            if place is None
            else list(reported(method, self.tries[method][place], self.seeds, self.epochs, self.learns))
        )

    def results(self, config: RunConfig, answered: Results) -> dict[str, Any]:
        """What benchmark.json holds (outputs/README.md), with figures from the runs in `answered`."""
        about = {
            "schema": 2,
            "forget": config.forget.name,
            "model": config.model.name,
            "dataset": dataset_name(config.dataset),
            "privacy": config.privacy.name,
            "criterion": CRITERION,
            "search": OmegaConf.to_object(config.benchmark.search),
            "seed": self.seed,
            "seeds": list(self.seeds),
        }
        methods = {method: {"choice": self.choice(method), "trials": self._told(method)} for method in self.tries}
        return figures(about | {"methods": methods}, answered)

    def answered(self) -> Results:
        """The reported runs by method and number of passes, read from their folders."""
        found: dict[str, dict[int, list[Result]]] = {}
        for method in self.tries:
            for job in self.runs(method):
                epochs = present(job.epochs, "the number of passes of a run that is reported")
                found.setdefault(method, {}).setdefault(epochs, []).append(Result.read(self.folder / job.folder))
        return found

    def _told(self, method: str) -> list[dict[str, Any]]:
        """Every try of a method with how it went."""
        return [
            {"settings": dict(job.settings), "status": self.status(job), "distance": None}
            | (own.as_dict() if own else {})
            for job, own in zip(self.trials(method), self.worths(method), strict=True)
        ]

    def _known(self) -> list[Job]:
        """All tries, each method's first one first, then the runs, one seed of all methods after the other."""
        # Methods advance side by side, so an interrupted benchmark has something of each of them to compare.
        tries = sorted(
            (job for method in self.tries for job in self.trials(method)), key=lambda job: int(job.folder.name)
        )
        runs = sorted((job for method in self.tries for job in self.runs(method)), key=lambda job: job.seed)
        return [*tries, *runs]

    def _settled(self, told: set[PurePosixPath]) -> list[Job]:
        return [job for job in self._known() if job.folder not in told and self.is_settled(job)]

    def _do(self, job: Job) -> bool:
        """Do a job that no other process is at; tell whether it was done here."""
        with claimed(self.folder / job.folder) as is_mine:
            # Asked again under the lock: another process may have finished the run since `ready` was made.
            if not is_mine or self.is_settled(job):
                return False
            self.perform(job)
            if not self.is_settled(job):
                raise RunError(f"{self.folder / job.folder}: this run has not ended, it is {self.status(job)}.")
            return True

    def _tell(self, job: Job) -> None:
        said = " ".join(f"{key}={value}" for key, value in job.settings.items()) or "defaults"
        own = self._worth(job)
        points = [f"{measure.name} {getattr(own, key):.3f}" for key, measure in POINTS.items() if own]
        self.display.note(f"{job.folder} ({said}): {', '.join(points) or self.status(job)}")

    def _worth(self, job: Job) -> Worth | None:
        """What a run is worth; None of one that has not finished, or where that is undefined. Read once."""
        if job.folder not in self._read and self.status(job) == FINISHED:
            self._read[job.folder] = worth(read_metrics(self.folder / job.folder))
        return self._read.get(job.folder)


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Whether this process holds the run `folder` inside the ``with``; a process that ends lets go."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
