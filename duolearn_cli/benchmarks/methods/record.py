"""What the runs of a benchmark left: from their folders, or from one small file with all their answers."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from duolearn_cli.benchmarks.methods.status import FINISHED, status_of
from duolearn_cli.errors import RunError
from duolearn_cli.report.answers import ABOUT, MARKS, NUMBERS, Answers
from duolearn_cli.report.averages import LEARN_SEED
from duolearn_cli.report.jobs import Job, read_job
from duolearn_cli.report.measures import added_to

FILE = "answers.json.gz"
# Digits of losses and attack scores that are kept: far below what a model's arithmetic settles.
DIGITS = 5
# Of the metrics of a run, what figures over runs are made of beside its scores.
MODELS = ("gold", "target")


@dataclass(frozen=True, eq=False)
class Result:
    """One run of a method's chosen settings.

    Attributes:
        metrics: of a finished run ``scores`` of gold, target and unlearned, ``distance`` of its forget losses from
            gold's, ``changed`` and ``flags``; ``measures`` where the user added any.
        answers: None where the run has not finished or its item file is broken.
    """

    seed: str
    status: str
    metrics: Mapping[str, Any]
    answers: Answers | None
    learn_seed: Any = None

    @classmethod
    def read(cls, folder: Path) -> Result:
        """From a run folder, named ``...-SEED``."""
        seed, status = folder.name.rpartition("-")[2], status_of(folder)
        if status != FINISHED:
            return cls(seed, status, {}, None)
        found = read_metrics(folder)
        models = found["models"]
        metrics = {
            "scores": {name: models[name]["scores"] for name in (*MODELS, "unlearned") if name in models},
            "distance": (models["unlearned"].get("gold") or {}).get("forget") or {},
            "changed": (found.get("change") or {}).get("fraction"),
            "flags": found["flags"],
            **({"measures": found["measures"]} if found.get("measures") else {}),
        }
        return cls(seed, status, metrics, Answers.read(folder), read_job(folder).settings.get(LEARN_SEED))

    @property
    def is_finished(self) -> bool:
        return self.status == FINISHED

    @property
    def job(self) -> Job:
        """As the averages over jobs take it."""
        scores = self.metrics.get("scores", {}).get("unlearned")
        return Job(self.seed, {"seed": self.seed}, scores, measures=added_to(self.metrics))


# By method and number of passes.
Results = Mapping[str, Mapping[int, Sequence[Result]]]


def read_metrics(folder: Path) -> dict[str, Any]:
    """What is in a finished run's metrics.json."""
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def write_record(path: Path, found: Mapping[str, Any], results: Results) -> None:
    """Write `found`, a benchmark's figures, with every answer that they were made of.

    Columns that several runs have in common, such as the target's, are there once; wrong and right are one letter each,
    numbers have `DIGITS` significant digits.
    """
    columns: dict[str, Any] = {}

    def put(values: Any) -> str:
        name = hashlib.sha256(json.dumps(values).encode()).hexdigest()[:12]
        columns[name] = values
        return name

    def packed(answers: Answers) -> dict[str, Any]:
        about = {name: put(list(answers.about[name])) for name in ABOUT}
        models = {
            model: {name: put(_marks(own[name]) if name in MARKS else _numbers(own[name])) for name in own}
            for model, own in answers.models.items()
        }
        return {"about": about, "models": models, "by_gold": answers.by_gold}

    runs = [
        {"method": method, "passes": passes, "seed": one.seed, "status": one.status, "learn_seed": one.learn_seed}
        | {"metrics": one.metrics, "answers": packed(one.answers) if one.answers else None}
        for method, by_passes in results.items()
        for passes, own in by_passes.items()
        for one in own
    ]
    content = json.dumps({"schema": 1, "benchmark": found, "runs": runs, "columns": columns}, separators=(",", ":"))
    # Without a time of its own: the same answers make the same file.
    path.write_bytes(gzip.compress(content.encode(), mtime=0))


def read_record(path: Path) -> tuple[dict[str, Any], dict[str, dict[int, list[Result]]]]:
    """What `write_record` wrote. Raises RunError where the file is no such."""
    try:
        content = json.loads(gzip.decompress(path.read_bytes()))
        columns, found = content["columns"], content["benchmark"]
        results: dict[str, dict[int, list[Result]]] = {}
        for run in content["runs"]:
            answers = _unpacked(run["answers"], columns) if run["answers"] else None
            one = Result(run["seed"], run["status"], run["metrics"], answers, run["learn_seed"])
            results.setdefault(run["method"], {}).setdefault(int(run["passes"]), []).append(one)
    except (OSError, EOFError, ValueError, LookupError, TypeError) as error:
        raise RunError(f"{path}: this is no {FILE} of a benchmark ({error}); name one, or make it anew.") from error
    return found, results


def _marks(values: np.ndarray) -> str | list[float]:
    """A letter each; numbers where a right option shares the highest score, which makes it right in part."""
    if not np.isin(values, (0, 1)).all():
        return values.tolist()
    return "".join("1" if value else "0" for value in values)


def _numbers(values: np.ndarray) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in values]


def _unpacked(packed: Mapping[str, Any], columns: Mapping[str, Any]) -> Answers:
    about = {name: columns[key] for name, key in packed["about"].items()}
    models = {
        model: {
            name: np.array(list(map(float, columns[key]))) for name, key in own.items() if name in (*MARKS, *NUMBERS)
        }
        for model, own in packed["models"].items()
    }
    return Answers(about, models, packed["by_gold"])
