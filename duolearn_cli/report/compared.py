"""Runs that are compared with each other: what each one is, whether they can be compared, and what differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duolearn_cli.report.answers import Answers, facts_of
from duolearn_cli.report.jobs import Job, heading, shown, varying

# Settings that say where files are or how a run is shown: no result depends on them.
APART = (
    *("output_dir", "run_dir", "cache_dir", "resume", "name", "tags", "track", "record", "report", "dry_run"),
    "patient_key",
)
SIDES = ("forget", "retain")


@dataclass(frozen=True, eq=False, slots=True)
class Compared:
    """One run of a comparison.

    Attributes:
        title: the name that the user gave it, or that of its folder.
        job: its settings, scores and verdict. The job's name is the letter that tables use for the run.
        answers: None if its item file is missing or broken.
    """

    folder: Path
    title: str
    job: Job
    metrics: Mapping[str, Any]
    info: Mapping[str, Any]
    answers: Answers | None

    @property
    def label(self) -> str:
        return self.job.name

    def __str__(self) -> str:
        return f"{self.label} ({self.folder})"


def letter(place: int) -> str:
    """A to Z, then AA, AB and so on."""
    before, own = divmod(place, 26)
    return (letter(before - 1) if before else "") + chr(ord("A") + own)


def without_places(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The flat settings that a result may depend on."""
    return {key: value for key, value in settings.items() if key.partition(".")[0] not in APART}


def refusals(runs: Sequence[Compared]) -> Iterator[str]:
    """Yield why a run cannot be compared with the first one: another target or data set, or no fact in common."""
    first = runs[0]
    for run in runs[1:]:
        for name, what in (("forget", "the target"), ("dataset", "the data set")):
            if run.metrics[name] != first.metrics[name]:
                yield f"{what} of {run} is {run.metrics[name]}, that of {first} is {first.metrics[name]}"
                break
        else:
            yield from _other_target(first, run)
            yield from _no_fact(first, run)


def _other_target(first: Compared, run: Compared) -> Iterator[str]:
    """Two targets may have one name: ``custom`` does."""
    for key in sorted({*first.job.settings, *run.job.settings}):
        ours, theirs = (one.job.settings.get(key) for one in (first, run))
        if key.startswith("forget.") and ours != theirs:
            yield f"the target of {run} has {key}={theirs}, that of {first} has {key}={ours}"
            return


def _no_fact(first: Compared, run: Compared) -> Iterator[str]:
    if first.answers is None or run.answers is None:
        return
    for side in SIDES:
        ours, theirs = (set(facts_of([one.answers], side)) for one in (first, run) if one.answers)
        if ours and theirs and not ours & theirs:
            yield f"{run} and {first} were asked no {side} fact in common (split.seed, evaluation.part or data differ)"
            return


def remarks(runs: Sequence[Compared]) -> Iterator[str]:
    """Yield what a reader must know of runs whose items or base models are not all the same."""
    first = runs[0]
    for run in runs:
        if run.answers is None:
            yield f"{run}: predictions.jsonl is missing or broken, so nothing is paired with this run."
    for run in runs[1:]:
        if not (first.answers and run.answers):
            continue
        for side in SIDES:
            ours, theirs = (set(facts_of([one], side)) for one in (first.answers, run.answers))
            if ours != theirs:
                yield (
                    f"{run.label} and {first.label} were asked {len(ours & theirs)} {side} facts in common, of "
                    f"{len(theirs)} and {len(ours)}: differences are paired on these, and items that changed are "
                    "counted among these."
                )
        if run.info.get("weights") != first.info.get("weights"):
            yield f"{run.label} and {first.label} have other base models: targets and golds differ too."


def differing(runs: Sequence[Compared]) -> dict[str, list[str]]:
    """By setting its value in each run, for the settings that differ."""
    jobs = [run.job for run in runs]
    return {heading(key): [shown(job, key) for job in jobs] for key in varying(jobs)}
