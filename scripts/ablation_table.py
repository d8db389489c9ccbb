"""Compare the jobs of an ablation sweep with its full method: `python scripts/ablation_table.py FOLDER`.

Prints a Markdown table: for each ablation the means over seeds, and the difference from the full method in accuracy on
forget and on retain items. Its 95 % interval is over seeds and facts together, both paired; a fact that several seeds
were asked counts once. Fewer than three seeds have no interval.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from duolearn_cli.evaluation.metrics.seeds import difference_over_seeds, ratio_errors
from duolearn_cli.report.tables import Table, cell

FULL = "full"
SIDES = ("forget", "retain")
SCORES = {"CCF (%)": "chance_corrected_forgetting", "KPR (%)": "knowledge_preservation"}


def read(folder: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Finished jobs by ablation and seeds: scores, mean losses, and by item whether it was right and its fact."""
    found: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for metrics in sorted(folder.glob("*/metrics.json")):
        config = yaml.safe_load((metrics.parent / "config.yaml").read_text(encoding="utf-8"))
        model = json.loads(metrics.read_text(encoding="utf-8"))["models"]["unlearned"]
        job: dict[str, Any] = {"scores": model["scores"], "correct": {side: {} for side in SIDES}, "fact": {}}
        job["nll"] = {side: model["splits"][f"{side}_train"]["nll"]["value"] for side in SIDES}
        with (metrics.parent / "predictions.jsonl").open(encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                side, _, kind = row["split"].partition("_")
                if row["model"] == "unlearned" and kind in ("train", "heldout"):
                    job["correct"][side][row["id"]] = float(row["correct"])
                    job["fact"][row["id"]] = row["fact"]
        seeds = [config["seed"], config["split"]["seed"], config["learn"]["seed"]]
        found[config["ablation"] or "defaults"]["/".join(map(str, seeds))] = job
    return found


def difference(jobs: dict[str, dict[str, Any]], full: dict[str, dict[str, Any]], side: str) -> dict[str, Any]:
    """Mean over the seeds that both have of an ablation's accuracy less the full method's, with its interval."""
    seeds = sorted(jobs.keys() & full.keys())
    own, whole = ([by_fact(found[seed], side) for seed in seeds] for found in (jobs, full))
    facts = sorted({fact for run in (*own, *whole) for fact in run})
    sums = np.array([[[run.get(fact, (0.0, 0.0)) for fact in facts] for run in runs] for runs in (own, whole)])
    first, second = sums[..., 0].sum(2) / sums[..., 1].sum(2)
    return difference_over_seeds(first.tolist(), second.tolist(), np.stack([ratio_errors(runs) for runs in sums]))


def by_fact(job: dict[str, Any], side: str) -> dict[str, tuple[float, float]]:
    """How many of a fact's items were right, and how many there are."""
    found: dict[str, tuple[float, float]] = {}
    for item, correct in job["correct"][side].items():
        right, count = found.get(job["fact"][item], (0.0, 0.0))
        found[job["fact"][item]] = (right + correct, count + 1)
    return found


def table(found: dict[str, dict[str, dict[str, Any]]]) -> Table:
    rows = []
    for name, jobs in found.items():
        mean = {
            label: sum(job["scores"][key]["value"] for job in jobs.values()) / len(jobs)
            for label, key in SCORES.items()
        }
        auc = sum(job["scores"]["mia_auc"]["value"] for job in jobs.values()) / len(jobs)
        nll = sum(job["nll"]["retain"] for job in jobs.values()) / len(jobs)
        changes = ["—", "—"] if name == FULL else [cell(difference(jobs, found[FULL], s), 100, 1) for s in SIDES]
        shown = [f"{100 * value:.1f}" for value in mean.values()]
        rows.append((name, *shown, f"{auc:.3f}", f"{nll:.3f}", *changes, str(len(jobs))))
    header = (
        "ablation",
        *SCORES,
        "MIA AUC",
        "retain nll",
        "forget accuracy - full (points)",
        "retain accuracy - full (points)",
        "seeds",
    )
    return Table("Ablations", header, tuple(rows))


if __name__ == "__main__":
    if len(sys.argv) != 2 or not (jobs := read(Path(sys.argv[1]))):
        sys.exit("usage: ablation_table.py FOLDER, the folder of a finished sweep over +ablation=")
    if FULL not in jobs:
        sys.exit(f"error: {sys.argv[1]} has no finished job of +ablation={FULL}, which others are compared with")
    print(table(jobs).markdown())
