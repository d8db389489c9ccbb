"""Requests on the embedded notes: what each method forgets, and what it keeps near what it forgets.

    notes_study.py run FOLDER WORLD REQUEST VARIANT SEED...   one run for each seed; finished ones are not made again
    notes_study.py collect FOLDER                             what the runs measured, as JSON
    notes_study.py page                                       docs/results/notes.md, from docs/results/notes.json

WORLD is `two_of_three` or `all` (how many notes of a patient state each kind of fact), REQUEST one of `REQUESTS`,
VARIANT one of `VARIANTS`. SEED is that of learning and unlearning; patients and split are the same for all.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from duolearn_cli.evaluation.metrics.seeds import over_seeds
from duolearn_cli.report.tables import DASH, Table, cell

DOCS = Path(__file__).parents[2] / "docs" / "results"
# Patients are numbered from 1; these belong to the embedded world of 40.
SOME = ",".join(f"p{number:03d}" for number in range(1, 41, 2))
TEN = ",".join(f"p{number:03d}" for number in range(1, 41, 4))
REQUESTS = {
    "surgery": ["+forget=surgery"],
    "some_surgery": ["+forget=surgery", f"forget.patients=[{SOME}]"],
    "patient": ["+forget=patient", "forget.patients=[p001]"],
    "ten_patients": ["+forget=patient", f"forget.patients=[{TEN}]"],
    "mental_health": ["+forget=mental_health", f"forget.patients=[{SOME}]"],
}
VARIANTS = {
    "duolearn": [],
    "without_kin": ["unlearn.kin_weight=1"],
    "without_keeping": ["unlearn.keep_weight=1"],
    "without_stop": ["method.ceiling=.inf"],
    "without_projection": ["method.geometry.space=none"],
    "sentences": ["unlearn.attack=sentences"],
    **{
        f"{method}_{attack}": [f"method={method}", f"unlearn.attack={attack}"]
        for method in ("npo", "simnpo", "graddiff")
        for attack in ("values", "sentences", "documents")
    },
}
MODELS = ("target", "gold", "unlearned")
GROUPS = ("forgotten", "same_sentence", "same_note", "same_patient", "neighbour", "same_attribute", "rest")


def run(folder: Path, world: str, request: str, variant: str, seeds: Sequence[str]) -> None:
    """Make the missing runs, each by the public command."""
    for seed in seeds:
        own = folder / f"{world}-{request}-{variant}-{seed}"
        if (own / "metrics.json").is_file():
            continue
        settings = [
            *("dataset=mininotes", f"dataset.redundancy={world}", *REQUESTS[request]),
            *(f"seed={seed}", f"learn.seed={seed}", "split.max_forget=null", "split.max_retain=null"),
            *("runtime.threads=1", "evaluation.report=false", "evaluation.generate_items=0", f"run_dir={own}"),
            *VARIANTS[variant],
        ]
        subprocess.run([sys.executable, "-m", "duolearn_cli", "unlearn", *settings], check=True)


def collect(folder: Path) -> list[dict[str, Any]]:
    """One entry a run: shares of right answers by group, and of words by part, for target, gold and unlearned."""
    return [entry(path.parent) for path in sorted(folder.glob("*/metrics.json"))]


def entry(run_folder: Path) -> dict[str, Any]:
    """The figures of one run."""
    world, request, variant, seed = run_folder.name.split("-")
    metrics = json.loads((run_folder / "metrics.json").read_text(encoding="utf-8"))
    history = map(json.loads, (run_folder / "history.jsonl").read_text(encoding="utf-8").splitlines())
    documents = metrics["documents"]
    return {
        "world": world,
        "request": request,
        "variant": variant,
        "seed": int(seed),
        "models": {
            model: {
                "facts": documents[model]["facts"]["question"],
                "words": {part: one["predicted"] for part, one in documents[model]["words"].items()},
                "values": {part: one["values"] for part, one in documents[model]["words"].items() if "values" in one},
                "perplexity": metrics["models"][model]["general"]["perplexity"],
            }
            for model in MODELS
        },
        "auc": {model: metrics["models"][model]["scores"].get("mia_auc") for model in MODELS},
        "steps": sum(one.get("stage") == "unlearn" and "step_norm" in one for one in history),
    }


def tables(entries: Sequence[Mapping[str, Any]]) -> Iterator[Table]:
    """One table for each world and request: a row for target, gold and each variant."""
    by_request: dict[tuple[str, str], dict[str, list[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for one in entries:
        by_request[one["world"], one["request"]][one["variant"]].append(one)
    for (world, request), by_variant in sorted(by_request.items()):
        title = f"{request.replace('_', ' ')}, each kind in {world.replace('_', ' ')} notes"
        for kind, parts in (("facts", GROUPS), ("words", ("forgotten", "same_sentence", "same_note", "kin", "rest"))):
            rows = [
                (name, str(len(runs)), *(_cell(runs, model, kind, part) for part in parts))
                for name, model, runs in _rows(by_variant)
            ]
            what = "right answers (%)" if kind == "facts" else "words predicted (%)"
            yield Table(f"{title}: {what}", ("method", "seeds", *parts), tuple(rows))


def _rows(
    by_variant: Mapping[str, Sequence[Mapping[str, Any]]],
) -> Iterator[tuple[str, str, Sequence[Mapping[str, Any]]]]:
    """Target and gold are the same for all variants, so that those of the one with most seeds are shown."""
    most = max(by_variant.values(), key=len)
    yield "target", "target", most
    yield "gold", "gold", most
    for name in sorted(by_variant, key=list(VARIANTS).index):
        yield name, "unlearned", by_variant[name]


def _cell(runs: Sequence[Mapping[str, Any]], model: str, kind: str, part: str) -> str:
    known = [one["models"][model][kind][part] for one in runs if part in one["models"][model][kind]]
    if not known:
        return DASH
    return cell(over_seeds(known, limits=(0.0, 1.0)) if len(known) > 1 else known[0], 100, 1)


def page() -> str:
    """The page of results, from the kept JSON."""
    kept = json.loads((DOCS / "notes.json").read_text(encoding="utf-8"))
    head = (Path(__file__).with_name("notes_page.md")).read_text(encoding="utf-8").format(**kept["about"])
    return head + "\n".join(f"## {one.title}\n\n{one.markdown()}\n" for one in tables(kept["runs"]))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["run", folder, world, request, variant, *seeds]:
            run(Path(folder), world, request, variant, seeds)
        case ["collect", folder]:
            print(json.dumps(collect(Path(folder)), indent=1))
        case ["page"]:
            (DOCS / "notes.md").write_text(page(), encoding="utf-8")
        case _:
            sys.exit(__doc__)
