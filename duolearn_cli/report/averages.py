"""Means over runs that differ in their seeds, with intervals over seeds and facts together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from duolearn_cli.evaluation.measures.central import LOSS_AUC
from duolearn_cli.evaluation.measures.measure import Measure
from duolearn_cli.evaluation.metrics.seeds import (
    FEWEST,
    auc_errors,
    difference_over_facts,
    difference_over_seeds,
    over_seeds,
    ratio_errors,
)
from duolearn_cli.report.answers import Answers, by_item, sums_by_fact, wins
from duolearn_cli.report.jobs import Job, is_seed, seeds_of, value_of, varying
from duolearn_cli.report.measures import number

# The seed that target and gold are learned with.
LEARN_SEED = "learn.seed"
ONE_TARGET = (
    "All seeds of a row share one target and one gold: its intervals leave out what learning these anew would change. "
    "To have it in them, add 'learn.seed=${seed}'."
)


def mean_over_jobs(jobs: Sequence[Job], measure: Measure, answers: Sequence[Answers | None]) -> dict[str, Any] | None:
    """The mean of a measure over jobs with its interval (see `over_seeds`); None where no job has it among its scores.

    `answers` are those of each job, None where its item file is missing. No interval where jobs share a seed, or one
    lacks the score.
    """
    found = [(job.scores or {}).get(measure.key) or {} for job in jobs]
    chosen = [place for place, one in enumerate(found) if number(one.get("value")) is not None]
    if not chosen:
        return None
    errors = errors_of([answers[place] for place in chosen], measure) if len(chosen) >= FEWEST else None
    whole = over_seeds([found[place] for place in chosen], errors, limits=measure.limits)
    is_whole = len(chosen) == len(jobs) and len(seeds_of(jobs)) == len(jobs)
    # Jobs that share a seed are no independent draws, and those that have the score may be a selection of all.
    return whole if is_whole else {"value": whole["value"]}


def difference_over_jobs(
    first: Sequence[Job], second: Sequence[Job], measure: Measure, answers: Sequence[Answers | None] | None = None
) -> dict[str, Any] | None:
    """The mean of a measure of `first` less that of `second`, job by job, all of which have it; None without jobs.

    The interval is over seeds and facts, both paired; there is none where an item file is missing. `answers` are those
    of the jobs of `first`, then of `second`; by default they are read from the jobs' folders.
    """
    if not first:
        return None
    ours, theirs = ([score(job, measure.key) for job in jobs] for jobs in (first, second))
    if answers is None:
        answers = [Answers.read(job.folder) if job.folder else None for job in (*first, *second)]
    errors = errors_of(answers, measure)
    paired = np.zeros((2, len(first), 0)) if errors is None else errors.reshape(2, len(first), -1)
    return difference_over_seeds(ours, theirs, paired)


def difference_of_runs(
    first: Job, second: Job, measure: Measure, answers: Sequence[Answers | None]
) -> dict[str, Any] | None:
    """The measure of one run less that of another, with an interval over facts, paired; None where one lacks it.

    There is no interval where the measure is not made of items, an item file is missing, or either value is a ratio
    whose denominator may be zero. `answers` are those of both runs.
    """
    found = [(job.scores or {}).get(measure.key) or {} for job in (first, second)]
    ours, theirs = (number(one.get("value")) for one in found)
    if ours is None or theirs is None:
        return None
    errors = None if any(one.get("unbounded") for one in found) else errors_of(answers, measure)
    return {"value": ours - theirs} if errors is None else difference_over_facts(ours, theirs, errors)


def score(job: Job, key: str) -> float:
    """The value of a score that the job has."""
    return float((job.scores or {})[key]["value"])


def errors_of(runs: Sequence[Answers | None], measure: Measure) -> np.ndarray | None:
    """Return each fact's part of the error of each run's value [runs, facts]; None if an item file is missing."""
    known = [run for run in runs if run is not None]
    if len(known) < len(runs):
        return None
    if measure.key == LOSS_AUC.key:
        return auc_errors(*wins(known)[:2])
    formula = by_item(measure)
    if formula is None or not all(run.can_make(formula) for run in known):
        return None
    return ratio_errors(sums_by_fact(known, formula))


def shares_target(jobs: Sequence[Job]) -> bool:
    """Whether jobs that differ in nothing but their seeds all began with one target."""
    settings = [key for key in varying(jobs) if not is_seed(key)]
    rows: dict[tuple[str, ...], list[Job]] = {}
    for job in jobs:
        if job.scores is not None and job.settings:
            rows.setdefault(tuple(value_of(job, key) for key in settings), []).append(job)
    return any(len(seeds_of(row)) > 1 and _targets(row) == 1 for row in rows.values())


def _targets(jobs: Sequence[Job]) -> int:
    """How many targets the jobs have: by their keys, or by all seeds but that of unlearning where one lacks it."""
    # The key of the model says it for certain. Seeds are the second choice: jobs of older versions did not record the
    # key.
    keys = {job.target for job in jobs}
    if None not in keys:
        return len(keys)
    return len({tuple(value_of(job, key) for key in job.settings if is_seed(key) and key != "seed") for job in jobs})
