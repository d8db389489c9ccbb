"""One benchmark under way: which runs are to be done next, by this process or by others that share the folder."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock, Timeout

from duolearn_cli.benchmark.choice import CRITERION, chosen, criterion
from duolearn_cli.benchmark.jobs import Job, Value, reported, trial
from duolearn_cli.benchmark.results import outcome, read_metrics, references, volumes
from duolearn_cli.config import RunConfig
from duolearn_cli.report.terminal import Display

# Seconds between looks at what other processes have done.
PATIENCE = 2.0


@dataclass(frozen=True, eq=False)
class Session:
    """The runs of a benchmark in its `folder`. What is done is read from there, so any process can go on at any time.

    Args:
        tries: settings of every method's tries.
        perform: does a job, leaving its run folder; a job that fails leaves a run folder that says so.
    """

    folder: Path
    tries: Mapping[str, Sequence[Mapping[str, Value]]]
    seed: int
    seeds: Sequence[int]
    epochs: Sequence[int]
    perform: Callable[[Job], None]
    display: Display

    def complete(self) -> None:
        """Do all that is left. Processes that do this side by side share the runs among them."""
        with self.display.progress("benchmark", self.num_jobs) as advance:
            told: set[PurePosixPath] = set()
            while True:
                for job in self._settled(told):
                    told.add(job.folder)
                    self._tell(job)
                    advance()
                ready = [job for job in self._known() if self.status(job) not in ("finished", "failed")]
                if not ready and len(told) == len(self._known()):
                    return
                if not any(self._do(job) for job in ready):
                    time.sleep(PATIENCE)

    @property
    def num_jobs(self) -> int:
        """How many runs there are at most: of a method whose tries all fail, none is reported."""
        per_method = len(self.seeds) * max(1, len(self.epochs))
        return sum(map(len, self.tries.values())) + per_method * len(self.tries)

    def status(self, job: Job) -> str:
        """How a job's run stands, as its run.json says; ``none`` where there is no run yet."""
        try:
            info = json.loads((self.folder / job.folder / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return "none"
        return str(info.get("status"))

    def trials(self, method: str) -> list[Job]:
        return [trial(method, place, settings, self.seed) for place, settings in enumerate(self.tries[method])]

    def scores(self, method: str) -> list[float | None]:
        """What each try is worth; None of one that failed or has not finished."""
        folders = [(job, self.folder / job.folder) for job in self.trials(method)]
        return [criterion(read_metrics(path)) if self.status(job) == "finished" else None for job, path in folders]

    def choice(self, method: str) -> int | None:
        """The place of the best try once all are settled; None before that, or where all failed."""
        if any(self.status(job) not in ("finished", "failed") for job in self.trials(method)):
            return None
        return chosen(self.scores(method))

    def runs(self, method: str) -> list[Job]:
        """The runs with the chosen settings; none before they are chosen."""
        place = self.choice(method)
        return [] if place is None else list(reported(method, self.tries[method][place], self.seeds, self.epochs))

    def results(self, config: RunConfig) -> dict[str, Any]:
        """What benchmark.json holds (outputs/README.md)."""
        folders = self._folders()
        by_volume = volumes(folders)
        return {
            "schema": 1,
            "forget": config.forget.name,
            "model": config.model.name,
            "dataset": str(config.dataset._target_).rpartition(".")[2].lower(),
            "privacy": config.privacy.name,
            "criterion": CRITERION,
            "num_tries": max(map(len, self.tries.values())),
            "seed": self.seed,
            "seeds": list(self.seeds),
            "references": references(folders),
            "methods": {
                method: {
                    "choice": self.choice(method),
                    "trials": self._told(method),
                    "runs": outcome(folders.get(method, {})),
                }
                | by_volume.get(method, {})
                for method in self.tries
            },
        }

    def _told(self, method: str) -> list[dict[str, Any]]:
        """Every try of a method with how it went."""
        return [
            {"settings": dict(job.settings), "status": self.status(job), "score": score} | self._point(job)
            for job, score in zip(self.trials(method), self.scores(method), strict=True)
        ]

    def _folders(self) -> dict[str, dict[int | None, list[Path]]]:
        """The folders of the reported runs by method and number of passes."""
        found: dict[str, dict[int | None, list[Path]]] = {}
        for method in self.tries:
            for job in self.runs(method):
                found.setdefault(method, {}).setdefault(job.epochs, []).append(self.folder / job.folder)
        return found

    def _known(self) -> list[Job]:
        """All tries, each method's first one first, then the runs, one seed of all methods after the other."""
        tries = sorted(
            (job for method in self.tries for job in self.trials(method)), key=lambda job: int(job.folder.name)
        )
        runs = sorted((job for method in self.tries for job in self.runs(method)), key=lambda job: job.seed)
        return [*tries, *runs]

    def _settled(self, told: set[PurePosixPath]) -> list[Job]:
        return [job for job in self._known() if job.folder not in told and self.status(job) in ("finished", "failed")]

    def _do(self, job: Job) -> bool:
        """Do a job that no other process is at; tell whether it was done here."""
        with claimed(self.folder / job.folder) as is_mine:
            if not is_mine or self.status(job) in ("finished", "failed"):
                return False
            self.perform(job)
            return True

    def _tell(self, job: Job) -> None:
        said = " ".join(f"{key}={value}" for key, value in job.settings.items()) or "defaults"
        point = self._point(job)
        found = f"forgetting {point['forgetting']:.3f}, KPR {point['keeping']:.3f}" if point else self.status(job)
        self.display.note(f"{job.folder} ({said}): {found}")

    def _point(self, job: Job) -> dict[str, float]:
        """Chance-corrected forgetting and KPR of a run; nothing of one that has not finished."""
        if self.status(job) != "finished":
            return {}
        scores = read_metrics(self.folder / job.folder)["models"]["unlearned"]["scores"]
        keys = {"forgetting": "chance_corrected_forgetting", "keeping": "knowledge_preservation"}
        return {name: scores[key]["value"] for name, key in keys.items()}


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
