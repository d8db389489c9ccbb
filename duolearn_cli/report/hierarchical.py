"""Means over the seeds of a sweep with intervals over seeds and facts together, from the jobs' item files."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from duolearn_cli.metrics.chance import common_unit
from duolearn_cli.metrics.intervals import Estimate, bootstrap
from duolearn_cli.metrics.seeds import FEWEST
from duolearn_cli.report.jobs import Job, heading, is_seed, seeds_of, shown, value_of, varying
from duolearn_cli.report.tables import MEASURES, Table

Parts = Callable[[float, float, float], tuple[float, float]]

# Numerator and denominator of a score by fact, from chance and what is 0 or 1 of target and unlearned (named last).
SCORES: dict[str, tuple[str, Parts, str]] = {
    "forgetting_rate": ("forget", lambda before, after, chance: (1 - after, 1), "correct"),
    "chance_corrected_forgetting": (
        "forget",
        lambda before, after, chance: (before - after, before - chance),
        "correct",
    ),
    "knowledge_preservation": ("retain", lambda before, after, chance: (after, before), "correct"),
    "retain_recall": ("retain", lambda before, after, chance: (after, 1), "recalled"),
    "retain_recall_share": ("retain", lambda before, after, chance: (after, before), "recalled"),
}
Rows = Sequence[Mapping[str, Any]]


def over_seeds_and_facts(jobs: Sequence[Job]) -> Table | None:
    """One row for the jobs that differ in their seeds only; None where no three of them do."""
    settings = [key for key in varying(jobs) if not is_seed(key)]
    groups: dict[tuple[str, ...], list[Job]] = {}
    for job in jobs:
        if job.scores is not None and job.folder is not None:
            groups.setdefault(tuple(value_of(job, key) for key in settings), []).append(job)
    rows = []
    for group in groups.values():
        runs = [read_predictions(job) for job in group]
        if len(seeds_of(group)) == len(group) >= FEWEST and all(runs):
            found = {key: estimate(runs, *score) for key, score in SCORES.items()}
            cells = (MEASURES[key].cell(one.as_dict() if one else None) for key, one in found.items())
            rows.append((*(shown(group[0], key) for key in settings), *cells, str(len(group))))
    if not rows:
        return None
    header = (*map(heading, settings), *(MEASURES[key].label + MEASURES[key].arrow([]) for key in SCORES), "seeds")
    title = "Means over seeds, with 95 % intervals over seeds and facts together"
    return Table(title, header, tuple(rows), num_text=len(settings))


def read_predictions(job: Job) -> list[dict[str, Any]]:
    """The rows of trained facts of a job's item file; none where it is missing or broken."""
    assert job.folder is not None
    try:
        lines = (job.folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        return [row for row in rows if row["split"].endswith(("_train", "_heldout"))]
    except (OSError, ValueError, LookupError, TypeError):
        return []


def estimate(runs: Sequence[Rows], side: str, parts: Parts, key: str = "correct") -> Estimate | None:
    """The mean over runs of a ratio of sums, with a two-way bootstrap: of the seeds, and of the facts.

    A fact that several seeds have is drawn for all of them or for none: what is hard about it is so for each seed. With
    few seeds their share of the spread is drawn too small (by 1 / seeds of its variance). None without an item, or
    where item files do not tell `key`.
    """
    ratios = sums_by_fact(runs, side, parts, key)
    num_facts = ratios.shape[1]
    if not num_facts:
        return None

    def mean_ratio(seed: np.ndarray, fact: np.ndarray, axis: int = -1) -> np.ndarray:
        # Shapes: seed [..., s], fact [..., f] -> [...]. How often each fact was drawn does for its sums.
        drawn = np.stack(
            [np.bincount(row, minlength=num_facts) for row in fact.reshape(-1, fact.shape[-1]).astype(int)]
        )
        above, below = (drawn @ ratios[:, :, k].T for k in (0, 1))
        by_run = np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0)
        chosen = np.take_along_axis(by_run, seed.reshape(-1, seed.shape[-1]).astype(int), axis=1)
        return chosen.mean(-1).reshape(seed.shape[:-1])

    count = sum(row["model"] == "unlearned" and row["split"].startswith(side) for row in runs[0])
    columns = [np.arange(len(runs)), np.arange(num_facts)]
    return bootstrap(columns, mean_ratio, n=count, paired=False, higher_is_better=True)


def sums_by_fact(runs: Sequence[Rows], side: str, parts: Parts, key: str = "correct") -> np.ndarray:
    """Sums of a score's two parts over each fact's phrasings; facts in sorted order. Shape: [runs, facts, 2].

    Both parts are in whole numbers of `common_unit`: their sums are zero where they should be.
    """
    # Of m options that share the highest score, a right one counts 1 / m.
    known = [row for rows in runs for row in rows if key in row]
    unit = common_unit(value for row in known for value in (1 / len(row["scores"]), float(row[key])))
    sums = [_by_fact(rows, side, parts, key, unit) for rows in runs]
    facts = sorted({fact for run in sums for fact in run})
    return np.array([[run.get(fact, (0.0, 0.0)) for fact in facts] for run in sums]).reshape(len(runs), len(facts), 2)


def _by_fact(rows: Rows, side: str, parts: Parts, key: str, unit: int) -> dict[str, tuple[float, float]]:
    """`unit` times the sums of a score's two parts by fact, over its phrasings; rows without `key` are left out."""
    own = [row for row in rows if row["split"].startswith(side) and key in row]
    before = {row["id"]: float(row[key]) for row in own if row["model"] == "target"}
    found: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(2))
    for row in own:
        if row["model"] == "unlearned":
            found[row["fact"]] += parts(before[row["id"]], float(row[key]), 1 / len(row["scores"]))
    return {fact: (float(round(unit * above)), float(round(unit * below))) for fact, (above, below) in found.items()}
