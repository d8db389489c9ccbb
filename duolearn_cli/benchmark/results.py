"""From the run folders of a benchmark to benchmark.json: every figure can be made from the folders again."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from duolearn_cli.benchmark.status import status_of
from duolearn_cli.metrics.hypervolume import hypervolume
from duolearn_cli.metrics.intervals import CONFIDENCE, bootstrap
from duolearn_cli.metrics.seeds import FEWEST, mean_of_seeds
from duolearn_cli.report.hierarchical import SCORES, Rows, estimate, read_predictions, sums_by_fact
from duolearn_cli.report.jobs import mean_over_seeds, read_job

# Of each run's scores, over seeds.
OVER_SEEDS = ("mia_auc", "mia_score", "mia_worst", "retain_accuracy", "forget_invalid_rate", "retain_invalid_rate")
# The three aims of unlearning that a volume can be taken of.
AIMS = ("chance_corrected_forgetting", "knowledge_preservation", "mia_score")


def outcome(runs: Mapping[int, Sequence[Path]]) -> dict[str, Any]:
    """What a method's runs gave, by number of passes: scores with intervals over seeds and facts."""
    return {str(epochs): _outcome(folders) for epochs, folders in runs.items()}


def _outcome(folders: Sequence[Path]) -> dict[str, Any]:
    by_status = {folder: status_of(folder) for folder in folders}
    finished = [folder for folder, status in by_status.items() if status == "finished"]
    diverged = sum(status == "diverged" for status in by_status.values())
    found: dict[str, Any] = {"finished": len(finished), "diverged": diverged, "planned": len(folders)}
    if not finished:
        return found
    read = [read_job(folder) for folder in finished]
    rows = [read_predictions(job) for job in read]
    for key, score in SCORES.items():
        one = estimate(rows, *score)
        found[key] = one.as_dict() if one else None
        if one and len(finished) < FEWEST:  # so few seeds say nothing about others
            found[key] |= {"low": None, "high": None}
    found |= {key: mean_over_seeds(read, key) for key in OVER_SEEDS}
    metrics = [read_metrics(folder) for folder in finished]
    found["ks"] = _mean(one["models"]["unlearned"]["gold"].get("forget", {}).get("ks") for one in metrics)
    found["changed"] = _mean((one.get("change") or {}).get("fraction") for one in metrics)
    found["flags"] = sorted({flag for one in metrics for flag in one["flags"]})
    return found


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def read_metrics(folder: Path) -> dict[str, Any]:
    """What is in a finished run's metrics.json."""
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def volumes(methods: Mapping[str, Mapping[int, Sequence[Path]]]) -> dict[str, dict[str, Any]]:
    """By method the hypervolume of its runs in forgetting and keeping, and how far it is below the best one's.

    `hypervolume_mia` has the MIA score as a third aim: what is forgotten so hard that it stands out has little of that.
    Its interval is over seeds alone.

    A method's volume is the mean over seeds of what its runs of that seed, one a number of passes, dominate; a run that
    diverged dominates nothing. Only seeds that all methods are done with count. Intervals are by a bootstrap of seeds
    and facts, the same draws for all methods: `behind`, the best method's less this one's, is paired, and its interval
    is as wide as it must be for all comparisons with that method to hold together (Bonferroni). Methods of which
    nothing finished are left out.
    """
    known = {name: runs for name, runs in methods.items() if _seeds(runs, ("finished",))}
    settled = [_seeds(runs, ("finished", "diverged")) for runs in known.values()]
    seeds = sorted(set.intersection(*settled), key=int) if settled else []
    if not seeds:
        return {}
    tables = {name: _ratios(runs, seeds) for name, runs in known.items()}
    whole = {name: _estimate([table]) for name, table in tables.items()}
    best = max(whole, key=lambda name: whole[name]["value"])
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(tables) - 1)
    found: dict[str, dict[str, Any]] = {}
    for name, table in tables.items():
        behind = None if name == best else _estimate([tables[best], table], confidence)
        found[name] = {"hypervolume": whole[name], "behind": behind, "best": best, "seeds": len(seeds)}
        if len(seeds) < FEWEST:
            found[name]["hypervolume"] |= {"low": None, "high": None}
        found[name]["hypervolume_mia"] = mean_of_seeds([_with_mia(known[name], seed) for seed in seeds])
    return found


def _with_mia(runs: Mapping[int, Sequence[Path]], seed: str) -> float:
    """The volume in all aims of a method's runs of one seed; one that diverged, or lacks an aim, dominates nothing."""
    folders = [folder for own in runs.values() for folder in own if _seed(folder) == seed]
    scores = [
        read_metrics(folder)["models"]["unlearned"]["scores"] for folder in folders if status_of(folder) == "finished"
    ]
    points = [[(one.get(aim) or {}).get("value") for aim in AIMS] for one in scores]
    return float(hypervolume(np.array(points, dtype=float).reshape(-1, len(AIMS))))


def _seeds(runs: Mapping[int, Sequence[Path]], statuses: Collection[str]) -> set[str]:
    """The seeds whose runs at every number of passes have one of these statuses."""
    by_passes = [{_seed(folder) for folder in folders if status_of(folder) in statuses} for folders in runs.values()]
    return set.intersection(*by_passes) if by_passes else set()


def _seed(folder: Path) -> str:
    return folder.name.rpartition("-")[2]


def _ratios(runs: Mapping[int, Sequence[Path]], seeds: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Sums of both parts of forgetting and of keeping. Shapes: [passes, seeds, facts, 2], twice."""
    rows: list[list[Rows]] = [
        [read_predictions(read_job(folder)) for seed in seeds for folder in folders if _seed(folder) == seed]
        for folders in runs.values()
    ]
    scores = (SCORES["chance_corrected_forgetting"], SCORES["knowledge_preservation"])
    forget, keep = (np.stack([sums_by_fact(of_seeds, *score) for of_seeds in rows]) for score in scores)
    return forget, keep


def _estimate(tables: Sequence[tuple[np.ndarray, np.ndarray]], confidence: float = CONFIDENCE) -> dict[str, Any]:
    """The first table's hypervolume, or that less the second's, with a bootstrap of seeds and of facts."""
    forget, keep = tables[0]

    def statistic(seed: np.ndarray, of_forget: np.ndarray, of_keep: np.ndarray, axis: int = -1) -> np.ndarray:
        volumes = [_volume(table, seed, of_forget, of_keep) for table in tables]
        return volumes[0] if len(volumes) == 1 else volumes[0] - volumes[1]

    columns = [np.arange(size) for size in (forget.shape[1], forget.shape[2], keep.shape[2])]
    count = forget.shape[2] + keep.shape[2]
    better = True if len(tables) == 1 else None
    return bootstrap(
        columns, statistic, n=count, paired=False, higher_is_better=better, confidence=confidence
    ).as_dict()


def _volume(
    table: tuple[np.ndarray, np.ndarray], seed: np.ndarray, of_forget: np.ndarray, of_keep: np.ndarray
) -> np.ndarray:
    """Mean hypervolume over drawn seeds. Shapes: indices [..., seeds] and [..., facts] -> [...]."""
    shape = seed.shape[:-1]
    points = np.stack([_drawn(part, index) for part, index in zip(table, (of_forget, of_keep), strict=True)], axis=-1)
    by_seed = hypervolume(np.moveaxis(points, 1, 2))
    drawn = np.take_along_axis(by_seed, seed.reshape(-1, seed.shape[-1]).astype(int), axis=1)
    return drawn.mean(-1).reshape(shape)


def _drawn(sums: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Ratios of sums over drawn facts. Shapes: [passes, seeds, facts, 2], [..., facts] -> [draws, passes, seeds]."""
    flat = index.reshape(-1, index.shape[-1]).astype(int)
    counts = np.stack([np.bincount(row, minlength=sums.shape[2]) for row in flat])
    above, below = (np.einsum("rf,bsf->rbs", counts, sums[..., k], optimize=True) for k in (0, 1))
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0)


def references(methods: Mapping[str, Mapping[int, Sequence[Path]]]) -> dict[str, Any]:
    """Scores of gold and target on the test facts, which are the same in every run; none where no run has finished."""
    folders = (folder for runs in methods.values() for own in runs.values() for folder in own)
    first = next((folder for folder in folders if status_of(folder) == "finished"), None)
    if first is None:
        return {}
    models = read_metrics(first)["models"]
    attacked = ("mia_auc", "mia_score", "mia_expected", "mia_worst", "mia_worst_expected")
    keys = (*SCORES, *attacked, "retain_accuracy", "forget_accuracy")
    return {name: {key: models[name]["scores"].get(key) for key in keys} for name in ("gold", "target")}
