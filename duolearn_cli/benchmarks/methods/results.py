"""From the runs of a benchmark to benchmark.json: every figure can be made from their answers again."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from duolearn_cli.benchmarks.methods.record import MODELS, Result, Results
from duolearn_cli.benchmarks.methods.status import DIVERGED
from duolearn_cli.benchmarks.methods.volumes import volumes
from duolearn_cli.evaluation.measures import of_table
from duolearn_cli.evaluation.measures.measure import Measure
from duolearn_cli.evaluation.metrics.gold import kolmogorov_smirnov
from duolearn_cli.report.answers import Answers
from duolearn_cli.report.averages import mean_over_jobs
from duolearn_cli.report.jobs import added_by


def figures(found: Mapping[str, Any], results: Results) -> dict[str, Any]:
    """A benchmark's settings, tries and choices with the figures of its runs: what benchmark.json holds."""
    by_volume = volumes(results)
    methods = {
        name: {**one, "runs": outcome(results.get(name, {}))} | by_volume.get(name, {})
        for name, one in found["methods"].items()
    }
    added = {key: one.as_dict() for key, one in added_by([run.job for run in _every(results)]).items()}
    described = {"measures": added} if added else {}
    return {**found, **described, "references": references(results), "methods": methods}


def _every(results: Results) -> Iterator[Result]:
    return (run for by_passes in results.values() for runs in by_passes.values() for run in runs)


def outcome(runs: Mapping[int, Sequence[Result]]) -> dict[str, Any]:
    """What a method's runs gave, by number of passes: scores with intervals over seeds and facts."""
    return {str(epochs): _outcome(own) for epochs, own in runs.items()}


def _outcome(runs: Sequence[Result]) -> dict[str, Any]:
    finished = [one for one in runs if one.is_finished]
    diverged = sum(one.status == DIVERGED for one in runs)
    found: dict[str, Any] = {"finished": len(finished), "diverged": diverged, "planned": len(runs)}
    if not finished:
        return found
    jobs, answers = [one.job for one in finished], [one.answers for one in finished]
    measures = of_table("runs", added_by(jobs))
    found |= {key: mean_over_jobs(jobs, measure, answers) for key, measure in measures.items()}
    found |= {key: _mean(one.metrics["distance"].get(key) for one in finished) for key in ("ks", "ks_same")}
    found["changed"] = _mean(one.metrics["changed"] for one in finished)
    found["flags"] = sorted({flag for one in finished for flag in one.metrics["flags"]})
    return found


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def references(methods: Results) -> dict[str, Any]:
    """Scores of gold and target on the test facts; none where no run has finished.

    Where the runs have several targets and golds (`learn.seed`), the means over these; ``floor`` is then how far golds
    are from each other.
    """
    by_learning: dict[str, Result] = {}
    for one in _every(methods):
        if one.is_finished:
            # Runs with one seed of learning share target and gold, whose scores must count once.
            by_learning.setdefault(str(one.learn_seed), one)
    if not by_learning:
        return {}
    found: dict[str, Any] = {"learned": len(by_learning)}
    runs = list(by_learning.values())
    measures = of_table("runs", added_by([one.job for one in runs])) | of_table("references")
    for name in MODELS:
        if not any(name in one.metrics["scores"] for one in runs):
            continue  # there is no gold of a given model (learn.skip)
        if len(runs) == 1:
            scores = runs[0].metrics["scores"].get(name) or {}
            found[name] = {key: scores.get(key) for key in measures}
        else:
            found[name] = {key: _over_learning(runs, name, measure) for key, measure in measures.items()}
    golds = [one.answers for one in runs if one.answers]
    found["floor"] = _floor([own for own in golds if "nll" in own.models.get("gold", {})])
    return found


def _over_learning(runs: Sequence[Result], name: str, measure: Measure) -> dict[str, Any] | None:
    jobs = [replace(one.job, scores=one.metrics["scores"].get(name), settings={"seed": one.learn_seed}) for one in runs]
    return mean_over_jobs(jobs, measure, [None] * len(jobs))


def _floor(golds: Sequence[Answers]) -> dict[str, Any] | None:
    """Mean KS distance of the forget losses of two golds of different seeds; None of fewer than two."""
    losses = [own.models["gold"]["nll"][own.places("forget")] for own in golds]
    pairs = [
        kolmogorov_smirnov(ours, theirs)
        for ours, theirs in itertools.combinations(losses, 2)
        if len(ours) == len(theirs) > 0
    ]
    return {"ks": fmean(pairs), "golds": len(losses)} if pairs else None
