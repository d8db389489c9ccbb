"""Every measure of several runs as Markdown: `python scripts/results_table.py NAME=RUN[,RUN...] ...`.

Runs of one name differ in their seeds: their unlearned model's values are means over them with a 95 % interval over
seeds and facts together; p-values, which have no mean, are given from the least to the most. Base, target and gold are
those of the first run, with its intervals over facts. RUN is a folder of `duolearn unlearn` or of `duolearn audit
robustness`; each kind makes tables of its own.

`python scripts/results_table.py FILE`, where FILE is the answers.json.gz of a `duolearn benchmark`, makes its tables
from the answers that are in it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from duolearn_cli.benchmarks.methods.record import read_record
from duolearn_cli.benchmarks.methods.results import figures
from duolearn_cli.errors import RunError
from duolearn_cli.evaluation.measures import limits_of
from duolearn_cli.evaluation.metrics.seeds import ANY, over_seeds
from duolearn_cli.report.benchmark import benchmark_table, choices_table, remarks
from duolearn_cli.report.tables import DASH, MODELS, Table, cell, number

Found = Mapping[tuple[str, ...], Any]


def leaves(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every estimate or number below a model's entry, with the keys that lead to it."""
    if isinstance(node, Mapping) and "value" not in node:
        for key, value in node.items():
            yield from leaves(value, (*path, key))
    elif isinstance(node, Mapping) or number(node) is not None:
        yield path, node


def mean(values: Sequence[Any], path: tuple[str, ...]) -> str:
    """Mean over seeds of estimates, with their interval; of numbers without one, of p-values the least and the most."""
    estimates = [value for value in values if isinstance(value, Mapping) and number(value["value"]) is not None]
    if estimates:
        limits = ANY if "likeness" in path else limits_of(path[-1], path[-2])
        return cell(over_seeds(estimates, limits=limits), 1, 3)
    numbers = [value for value in map(number, values) if value is not None]
    if numbers and path[-1].endswith("p_value"):
        return " to ".join(f"{end:.3f}" for end in dict.fromkeys((min(numbers), max(numbers))))
    return cell({"value": sum(numbers) / len(numbers)}, 1, 3) if numbers else DASH


def one(value: Any) -> str:
    """An estimate with its interval over facts, or a number."""
    if isinstance(value, Mapping):
        return cell(value, 1, 3)
    return DASH if number(value) is None else f"{value:.3f}"


def measures(runs: Mapping[str, Sequence[Path]]) -> Table:
    """Measures down; base, target, gold, then each name's unlearned model across."""
    read = {name: [_read(run / "metrics.json")["models"] for run in own] for name, own in runs.items()}
    first = next(iter(read.values()))[0]
    # Subjects and levels have tables in every report.
    wanted = (
        "splits",
        "scores",
        "membership",
        "worst_attack",
        "gold",
        "calibration",
        "token_classes",
        "written",
        "general",
    )
    by_model = {m: dict(leaves({k: first[m].get(k) or {} for k in wanted})) for m in MODELS[:-1]}
    unlearned = {
        name: [dict(leaves({k: run["unlearned"].get(k) or {} for k in wanted})) for run in own]
        for name, own in read.items()
    }
    every = [*by_model.values(), *(run for own in unlearned.values() for run in own)]
    # Sorting is stable: within a group the order is that of the file.
    paths = sorted(dict.fromkeys(path for found in every for path in found), key=lambda path: wanted.index(path[0]))
    rows = tuple(
        (
            ", ".join(path),
            *(one(found.get(path)) for found in by_model.values()),
            *(mean([run.get(path) for run in own], path) for own in unlearned.values()),
        )
        for path in paths
    )
    return Table("Every measure", ("measure", *by_model, *unlearned), rows)


def attacks(runs: Mapping[str, Sequence[Path]]) -> Table:
    """Attacks down; for each name forget accuracy under it, share recovered, gain above gold, retain accuracy."""
    rows: dict[str, list[str]] = {}
    for own in runs.values():
        files = [_read(run / "robustness.json") for run in own]
        for k, entry in enumerate(files[0]["attacks"]):
            same = [found["attacks"][k] for found in files]
            label = f"{entry['attack']}: {entry['variant']}"
            sides = [one["models"]["unlearned"] for one in same]
            figures = (
                ("accuracy", [side["forget"]["accuracy"] for side in sides]),
                ("recovered", [side["forget"]["recovered"] or {"value": None} for side in sides]),
                ("above_gold", [(one.get("above_gold") or {}).get("forget") or {"value": None} for one in same]),
                ("accuracy", [side["retain"]["accuracy"] for side in sides]),
            )
            rows.setdefault(label, []).append(" · ".join(mean(own, ("", name)) for name, own in figures))
    header = ("attack", *(f"{name}: forget · recovered · above gold · retain" for name in runs))
    return Table("Attacks", header, tuple((label, *cells) for label, cells in rows.items()))


def benchmark(path: Path) -> str:
    """The tables of a benchmark, made anew from the answers of its runs."""
    try:
        found, results = read_record(path)
    except RunError as error:
        sys.exit(f"error: {error}")
    made = figures(found, results)
    notes = "\n".join(f"- {remark}" for remark in remarks(made))
    return "\n\n".join([benchmark_table(made).markdown(), notes, choices_table(made).markdown()])


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def main(arguments: Sequence[str]) -> None:
    """Print the tables."""
    if len(arguments) == 1 and arguments[0].endswith(".json.gz"):
        return print(benchmark(Path(arguments[0])))
    runs = {
        name: [Path(run) for run in given.split(",")] for name, _, given in (text.partition("=") for text in arguments)
    }
    if not runs or not all(name and given != [Path()] for name, given in runs.items()):
        sys.exit(__doc__)
    for run in (run for given in runs.values() for run in given):
        if not any((run / name).is_file() for name in ("robustness.json", "metrics.json")):
            sys.exit(f"{run}: neither metrics.json nor robustness.json is there: name finished runs.")
    first = next(iter(runs.values()))[0]
    table = attacks(runs) if (first / "robustness.json").is_file() else measures(runs)
    print(table.markdown())


if __name__ == "__main__":
    main(sys.argv[1:])
