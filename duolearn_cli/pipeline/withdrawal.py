"""Withdraw an earlier request: go back to the model before it, and carry out the requests after it again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from duolearn_cli.config.explain import key_of
from duolearn_cli.errors import RunError
from duolearn_cli.model.adapter_files import ADAPTER_FILE
from duolearn_cli.pipeline.chain_runs import earlier_models
from duolearn_cli.pipeline.merged import is_merged
from duolearn_cli.pipeline.requests import FILE as RECORD
from duolearn_cli.pipeline.requests import INHERITED, LOOP, Chain, read_chain
from duolearn_cli.pipeline.run_folder import Run

# Settings of a recorded command line that a new run gets anew. Trust is never taken from a record.
OWN = (
    "after",
    "adapter",
    "forgotten",
    "merged",
    "origin",
    "run_dir",
    "resume",
    "dry_run",
    "plugins",
    "model.trust_remote_code",
)


@dataclass(frozen=True, slots=True)
class Step:
    """A command to run: `duolearn COMMAND WORDS`.

    Attributes:
        name: of the request that it carries out.
        seconds: what its first run took; None if unknown.
    """

    name: str
    command: str
    words: tuple[str, ...]
    folder: Path
    seconds: float | None

    def done_before(self) -> str | None:
        """The status of the run in `folder`; None if there is none.

        Raises:
            RunError: the run there carried out another command.
        """
        if not (self.folder / "run.json").is_file():
            return None
        info = Run(self.folder).info
        # Trust and the cache may be given anew by each call.
        if info["command"] != self.command or not set(self.words) <= set(info["overrides"]):
            raise RunError(
                f"{self.folder} holds another run than this withdrawal needs there: `duolearn {info['command']}` with "
                "other settings. Move or delete that folder."
            )
        return str(info["status"])


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What it takes to withdraw a request.

    Attributes:
        before: the model that the request began with; None for the first one, which began with the target.
        steps: in this order; the last one leaves the model without the request.
    """

    name: str
    number: int
    before: Path | None
    steps: tuple[Step, ...]

    @property
    def seconds(self) -> float | None:
        """What all steps took the first time; None if one is unknown."""
        known = [step.seconds for step in self.steps if step.seconds is not None]
        return sum(known) if len(known) == len(self.steps) else None


def plan_withdrawal(run: Path, after: str | None, wanted: str, given: Sequence[str]) -> Withdrawal:
    """Plan the withdrawal of a request from the chain that ends with `run`.

    Args:
        after: what the run began with, as its configuration says.
        wanted: name or number of the request.
        given: folders of the earlier runs, the first request first; empty to look for them beside the run.

    Raises:
        RunError: there is no such request, the folder of a run that is needed is unknown, or something is purged.
    """
    chain = read_chain(run / "adapter")
    if chain is None:
        raise RunError(f"run={run}: there is no requests.json beside its adapter; there is no chain of requests.")
    number = _number(wanted, chain)
    models = {**earlier_models(chain, run, after, given), len(chain.entries): run / "adapter"}
    runs = {place: _run_of(model, chain.entries[place - 1]) for place, model in models.items()}
    _check_runs(chain, number, runs, models)
    before = models[number - 1] if number > 1 else None
    if before and not ((before / ADAPTER_FILE).is_file() or is_merged(before)):
        raise RunError(f"request={wanted}: the model before it is gone: {before} holds no adapter.")
    steps = _steps(chain, number, {place: one for place, one in runs.items() if one}, before)
    return Withdrawal(chain.names[number - 1], number, before, steps)


def _number(wanted: str, chain: Chain) -> int:
    numbers = [number for number, name in enumerate(chain.names, start=1) if wanted in (name, str(number))]
    known = ", ".join(f"{number} ({name})" for number, name in enumerate(chain.names, start=1))
    if not numbers:
        raise RunError(f"request={wanted}: the chain has no such request; allowed: {known}.")
    if len(numbers) > 1:
        raise RunError(f"request={wanted}: several requests have this name; give a number: {known}.")
    return numbers[0]


def _run_of(model: Path, entry: Mapping[str, Any]) -> Run | None:
    """The run folder around a model, if it is that of this request."""
    own = read_chain(model)
    is_run = model.name == "adapter" and (model.parent / "run.json").is_file()
    return Run(model.parent) if own and own.entries[-1]["hash"] == entry["hash"] and is_run else None


def _check_runs(chain: Chain, number: int, runs: Mapping[int, Run | None], models: Mapping[int, Path]) -> None:
    # The model before the request, and every run that is repeated. The first run has the settings of the target.
    needed = {1, max(1, number - 1), *range(number, len(chain.entries) + 1)}
    for place in sorted(needed):
        run = runs.get(place)
        # A chain may begin anew with a merged model from elsewhere, which is no run. It has what is needed of earlier
        # requests in its own record.
        if run is None and place < number and number - 1 in models:
            continue
        if run is None:
            raise RunError(
                f"the run folder of request {place} ({chain.names[place - 1]}) is needed and not known; give those of "
                "all earlier runs with chain=[RUN,...]."
            )
        if purged := run.info.get("purged"):
            raise RunError(
                f"{run.folder} was purged on {purged['date']}: {', '.join(purged['gone'])} are gone. Withdrawing a "
                "request needs them, since a model would have to learn the forgotten data again. What is possible: new "
                "runs of `duolearn unlearn` for the requests that still hold, from your own data."
            )


def _steps(chain: Chain, number: int, runs: Mapping[int, Run], before: Path | None) -> tuple[Step, ...]:
    """The later requests again, each after the one before; for a chain of one request, the target itself."""
    if number == len(chain.entries):
        return () if before else _target_alone(chain, runs[1])
    steps: list[Step] = []
    start = before
    for place in range(number + 1, len(chain.entries) + 1):
        run = runs[place]
        words = _repeated(run.info["overrides"])
        if chain.entries[place - 1].get("merged"):
            # The adapter lay on a merged model. What the step begins with brings its own base.
            words = [text for text in words if not _names_merged(text)]
        # Without a model before it, the next request is the first one: it takes over the settings of the target.
        words += [f"after={start}"] if start else _of_target(runs[1].info["overrides"], words)
        folder = _folder(run, chain, number)
        steps.append(Step(chain.names[place - 1], "unlearn", (*words, f"run_dir={folder}"), folder, _seconds(run)))
        start = folder
    return tuple(steps)


def _target_alone(chain: Chain, first: Run) -> tuple[Step, ...]:
    """The step that learns the target of the only request; none if the user gave that target."""
    config = Run.open(first.folder)[1]
    if config.learn.skip or config.adapter:
        return ()
    folder = _folder(first, chain, 1)
    words = (*_repeated(first.info["overrides"]), f"run_dir={folder}")
    # The time is unknown: the first run learned its target as a part of `unlearn`, whose time is that of all parts.
    return (Step(chain.names[0], "learn", words, folder, None),)


def _folder(run: Run, chain: Chain, number: int) -> Path:
    # The name has no date, so that a second try finds the steps that the first one finished. Requests of one name
    # differ in number, and in the hash of what they were.
    entry = chain.entries[number - 1]
    return run.folder.with_name(f"{run.folder.name}-without-{number}-{entry['target']['name']}-{entry['hash'][:8]}")


def _repeated(overrides: Iterable[str]) -> list[str]:
    # Hydra's settings, such as the folder of a sweep, belong to the command that was recorded.
    return [text for text in overrides if key_of(text) not in OWN and not key_of(text).startswith("hydra")]


def _names_merged(text: str) -> bool:
    """Whether a word of the command line says where a merged model with its record lies."""
    return key_of(text) == "model.path" and (Path(text.partition("=")[2]) / RECORD).is_file()


def _of_target(first: Sequence[str], given: Iterable[str]) -> list[str]:
    known = {key_of(text) for text in given}
    groups = (
        *(f"{name}{mark}" for name in INHERITED for mark in ".="),
        *(f"unlearn.{name}=" for name in LOOP),
    )
    of_model = [text for text in _repeated(first) if text.lstrip("+").startswith(groups)]
    # The adapter that the first request began with, where the user gave one.
    given_start = [text for text in first if key_of(text) in ("adapter", "forgotten")]
    return [text for text in (*of_model, *given_start) if key_of(text) not in known]


def _seconds(run: Run) -> float | None:
    """How long a run took; None if it was never started or has not ended."""
    times = [run.info.get(name) for name in ("started", "ended")]
    if not all(times):
        return None
    started, ended = (datetime.fromisoformat(str(time)) for time in times)
    return (ended - started).total_seconds()
