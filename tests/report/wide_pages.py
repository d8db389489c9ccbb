"""Pages of comparisons and benchmarks that hold as much as real ones: long questions, names and settings."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from duolearn_cli.config.compose import compose
from duolearn_cli.data.items import Item
from duolearn_cli.pipeline.comparing import read_compared
from duolearn_cli.report.benchmark import write_page
from duolearn_cli.report.comparison import Comparison
from duolearn_cli.report.comparison_page import write_comparison
from tests.benchmarks.methods.test_session import Performer, session

SIDES = ("forget_heldout", "retain_heldout")
OPTIONS = ("Cricothyroid muscle", "Thyroarytenoid muscle", "Posterior cricoarytenoid muscle", "Transverse arytenoid")
QUESTION = "Which muscle is supplied by the external branch of the superior laryngeal nerve after total thyroidectomy?"
METHODS = ("duolearn_no_projection", "gradient_ascent", "simnpo")


def _answers(place: int) -> list[dict[str, Any]]:
    """Both sides' answers of target and unlearned. Runs differ in the facts that they answer right."""
    rows = []
    for split in SIDES:
        for fact in range(40):
            own = {"id": f"{split}-{fact}", "fact": f"{split}-{fact}", "split": split, "answer": 0, "nll": 1.0}
            for model in ("target", "unlearned"):
                right = model == "target" or (fact + place) % 5 > (3 if split.startswith("forget") else 0)
                given = {"prediction": int(not right), "correct": float(right), "recalled": float(right), "valid": 1.0}
                rows.append(own | given | {"model": model, "scores": [0.0] * 4})
    return rows


def compare_page(folder: Path, write_run: Callable[..., Path], metrics: dict[str, Any]) -> Path:
    """The page of four runs that differ in seed, method and their answers."""
    runs = []
    for place in range(4):
        own = copy.deepcopy(metrics) | {"seed": place, "flags": []}
        run = write_run(folder / "outputs" / f"12-00-0{place}-unlearn-duolearn-surgery", own, status="finished")
        config = yaml.safe_load((run / "config.yaml").read_text())
        config["unlearn"] = {"learning_rate": 5e-4 / 2**place}
        (run / "config.yaml").write_text(yaml.safe_dump(config))
        (run / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in _answers(place)))
        runs.append(run)
    items = {row["id"]: Item(row["id"], QUESTION, OPTIONS, 0, "Surgery") for row in _answers(0)}
    write_comparison(folder, Comparison.of(read_compared(runs), lambda: items))
    return folder / "compare.html"


def benchmark_page(folder: Path) -> Path:
    """The page of three methods, one of which failed in every try, with two numbers of passes."""
    long = {"method.sparsity.fraction": 0.0025, "unlearn.learning_rate": 0.00025, "unlearn.epochs": 12}
    tries = {name: [{}, long] for name in METHODS}
    failing = [f"trials/{METHODS[2]}/{place}" for place in (0, 1)]
    one = session(folder, Performer(folder, failing), tries=tries, seeds=[0, 1, 2], epochs=[4, 8])
    one.complete()
    write_page(folder, one.results(compose("benchmark", ["+forget=surgery"]), one.answered()))
    return folder / "benchmark.html"
