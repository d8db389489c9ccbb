"""Ten requests one after another, on the embedded data and model: what earlier ones have still forgotten, and the cost.

    chain_study.py run FOLDER VARIANT SEED [NUMBER]   the first NUMBER requests (10); finished ones are not run again
    chain_study.py collect FOLDER                     what the runs measured, as JSON
    chain_study.py page                               docs/results/chain.md, from docs/results/chain.json

Variants: `chain` (the default settings); `rehearse` (8 items of earlier requests join each step), `without_hold`,
`reversed` (requests 2 to 10 in the opposite order), `npo` and `graddiff` continue from the first request of `chain`;
`at_once` is one request for all ten targets, of the same original model. SEED is that of learning and unlearning; the
split is the same for all.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from omegaconf import OmegaConf

from duolearn_cli.cli.commands.common import Invocation, prepared
from duolearn_cli.cli.commands.unlearn import begin, complete
from duolearn_cli.cli.jobs import checked_job
from duolearn_cli.data.earlier import EARLIER, preset
from duolearn_cli.evaluation.metrics.intervals import proportion
from duolearn_cli.evaluation.metrics.seeds import ANY, over_seeds
from duolearn_cli.report.tables import Table, cell
from duolearn_cli.report.terminal import Display

# Subjects, groups of concepts and single concepts; the number of facts that the original target has learned of each.
REQUESTS = {
    "surgery": 150,
    "anxiety": 34,
    "trauma": 28,
    "pharmacology": 37,
    "depression": 35,
    "chromosomal_translocation": 6,
    "microbiology": 29,
    "dental_fluorosis": 1,
    "cardiology": 5,
    "ophthalmology": 11,
}
NAMES = list(REQUESTS)
ORDERS = {"reversed": [NAMES[0], *reversed(NAMES[1:])]}
OWN = {
    "rehearse": ["unlearn.rehearse=8"],
    "without_hold": ["unlearn.hold=false"],
    "npo": ["method=npo"],
    "graddiff": ["method=graddiff"],
}
DOCS = Path(__file__).parents[2] / "docs" / "results"
OWN_SPLITS = ("forget_train", "forget_heldout")
STAGE = re.compile(r"^(\S+ \S+),\d+ INFO (Learn:|Retrain:|Unlearn |Hold |Evaluate |Measure )")


def words(name: str) -> list[str]:
    """The words of the command line that name a target."""
    if preset(name):
        return [f"+forget={name}"]
    return ["+forget=custom", f"forget.name={name}", f"forget.concepts=[{name}]"]


def run(folder: Path, variant: str, seed: int, number: int) -> None:
    """Make the missing runs of a variant, each by the public command."""
    if variant == "at_once":
        at_once(folder / f"at_once-{seed}-1", seed)
        return
    before: Path | None = None
    for place, name in enumerate(ORDERS.get(variant, NAMES)[:number], start=1):
        # All variants begin with the same first request.
        own = folder / f"{variant if place > 1 else 'chain'}-{seed}-{place}"
        if not (own / "metrics.json").is_file():
            after = [f"after={before}"] if before else [f"learn.seed={seed}"]
            settings = [*words(name), f"seed={seed}", "runtime.threads=1", "evaluation.report=false", f"run_dir={own}"]
            command = [sys.executable, "-m", "duolearn_cli", "unlearn", *settings, *after, *OWN.get(variant, ())]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        before = own


def at_once(folder: Path, seed: int) -> None:
    """Forget all ten targets in one request, with the model and the split that the chain begins with."""
    if (folder / "metrics.json").is_file():
        return
    shared = [f"seed={seed}", f"learn.seed={seed}", "runtime.threads=1", "evaluation.report=false"]
    union = ["+forget=custom", "forget.name=all_ten", f"forget.concepts=[{','.join(NAMES)}]", f"run_dir={folder}"]
    config = checked_job("unlearn", [*shared, *union], None)
    first = preset(NAMES[0])
    assert first is not None, "the first request is a preset"
    # The split of the first request decides what the original target learned.
    config.requests = [OmegaConf.structured(first)]
    study, display = prepared(config, Display()), Display()
    complete(study, begin(study, None, Invocation([*shared, *union], None, None)), display, ())


def collect(folder: Path) -> list[dict[str, Any]]:
    """One entry a run: accuracies on earlier and own items with intervals, what is kept, and seconds."""
    return [entry(path.parent) for path in sorted(folder.glob("*/metrics.json"))]


def entry(run: Path) -> dict[str, Any]:
    """The figures of one run."""
    variant, seed, number = run.name.rsplit("-", 2)
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    rows = list(map(json.loads, (run / "predictions.jsonl").read_text(encoding="utf-8").splitlines()))
    scores = {name: model["scores"] for name, model in metrics["models"].items()}
    found: dict[str, Any] = {"variant": variant, "seed": int(seed), "number": int(number), "name": metrics["forget"]}
    for model in ("unlearned", "gold"):
        earlier = [row for row in rows if row["model"] == model and row["split"] == EARLIER]
        forgotten = [
            row for row in rows if row["model"] == model and row["split"] in ("forget_train", "forget_heldout")
        ]
        found[model] = {
            "earlier": share(earlier),
            "own": share(forgotten),
            "all": share([*earlier, *forgotten]),
            "earlier_by_request": {
                one["name"]: one["accuracy"][model] for one in metrics.get("requests", ()) if one["accuracy"]
            },
        }
    found["scores"] = {
        # A request of one fact has no figure for membership.
        name: scores["unlearned"].get(name)
        for name in ("chance_corrected_forgetting", "knowledge_preservation", "mia_score", "retain_accuracy")
    }
    found["kept_of_original"] = metrics.get("kept_of_original") or scores["unlearned"]["knowledge_preservation"]
    found["seconds"] = {"run": metrics["cost"]["seconds"], **stages(run / "log.txt")}
    return found


def share(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The share of right answers, with an interval clustered by fact."""
    return proportion([row["correct"] for row in rows], [row["fact"] for row in rows]).as_dict() if rows else None


def stages(log: Path) -> dict[str, float]:
    """Seconds of a run by stage, from the times of its log."""
    found: dict[str, float] = defaultdict(float)
    marks = [match.groups() for line in log.read_text(encoding="utf-8").splitlines() if (match := STAGE.match(line))]
    for (start, stage), (end, _) in pairwise(marks):
        found[stage.strip(": ").lower()] += (
            datetime.fromisoformat(end) - datetime.fromisoformat(start)
        ).total_seconds()
    return dict(found)


def tables(entries: Sequence[Mapping[str, Any]]) -> Iterator[Table]:
    """Each variant's requests down: means over seeds."""
    for variant in dict.fromkeys(one["variant"] for one in entries):
        own = [one for one in entries if one["variant"] == variant]
        rows = []
        for number in sorted({one["number"] for one in own}):
            runs = [one for one in own if one["number"] == number]
            rows.append((f"{number}. {runs[0]['name']}", *row(runs), str(len(runs))))
        yield Table(variant, HEADER, tuple(rows))
        if len(rows) > 1:
            yield course(variant, own)


def course(variant: str, entries: Sequence[Mapping[str, Any]]) -> Table:
    """What is known of each target after each request, in per cent: means over seeds; first, at its own end."""
    by_number = {n: [one for one in entries if one["number"] == n] for n in sorted({one["number"] for one in entries})}
    rows = []
    for number, runs in by_number.items():
        name = runs[0]["name"]
        values = [[one["unlearned"]["own"]["value"] for one in runs]]
        for later in [n for n in by_number if n > number]:
            known = [one["unlearned"]["earlier_by_request"].get(name) for one in by_number[later]]
            values.append([one["value"] for one in known if one])
        shown = [f"{100 * fmean(own):.1f}" if own else "—" for own in values]
        rows.append((f"{number}. {name}", *["" for _ in range(number - 1)], *shown))
    return Table(f"{variant}: course", ("target", *map(str, by_number)), tuple(rows))


HEADER = (
    "request",
    "earlier: known (%)",
    "gold",
    "this one: known (%)",
    "gold",
    "CCF (%)",
    "kept of the original (%)",
    "MIA score",
    "unlearning (s)",
    "run (s)",
    "seeds",
)


def known(estimates: Sequence[Mapping[str, Any] | None]) -> bool:
    """Whether every run has this figure. A request of one fact has hardly any."""
    return all(one is not None and one["value"] is not None for one in estimates)


def row(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The cells of one request, without its name."""
    shares = [
        *([one[model][part] for one in runs] for part in ("earlier", "own") for model in ("unlearned", "gold")),
    ]
    ratios = [[one["scores"]["chance_corrected_forgetting"] for one in runs], [one["kept_of_original"] for one in runs]]
    bounded = [(part, (0.0, 1.0)) for part in shares] + [(part, ANY) for part in ratios]
    cells = [cell(over_seeds(part, limits=limits), 100, 1) if known(part) else "—" for part, limits in bounded]
    likeness = [one["scores"]["mia_score"] for one in runs]
    seconds = [
        [sum(one["seconds"].get(name, 0) for name in names) for one in runs]
        for names in (("unlearn", "hold"), ("run",))
    ]
    return [
        *cells,
        cell(over_seeds(likeness, limits=(0, 1)), 1, 2) if known(likeness) else "—",
        *(f"{sum(values) / len(values):.0f}" for values in seconds),
    ]


def page() -> str:
    """The page of results, whose tables come from the kept JSON."""
    entries = json.loads((DOCS / "chain.json").read_text(encoding="utf-8"))
    text = (Path(__file__).parent / "chain_page.md").read_text(encoding="utf-8")
    for table in tables(entries):
        text = text.replace(f"<!-- {table.title} -->\n", f"{table.markdown()}\n", 1)
    return text


def main(words: Sequence[str]) -> None:
    match words:
        case ["run", folder, variant, seed, *number]:
            run(Path(folder).resolve(), variant, int(seed), int(number[0]) if number else len(NAMES))
        case ["collect", folder]:
            print(json.dumps(collect(Path(folder)), indent=1))
        case ["page"]:
            (DOCS / "chain.md").write_text(page(), encoding="utf-8")
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
