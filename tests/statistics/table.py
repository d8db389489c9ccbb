"""Simulate all cells, store them as JSON, and write the tables of docs/results/intervals.md from it.

    python -m tests.statistics.table --draws 500 [--only accuracies]

With --only, the cells of other modules stay as they are in the file. Without --draws nothing is simulated, and only the
tables are written again.
"""

from __future__ import annotations

import argparse
import json
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import tests.statistics as package
from tests.statistics.cells import Cell

ROOT = Path(__file__).parents[2]
RESULTS, PAGE = ROOT / "docs" / "results" / "intervals.json", ROOT / "docs" / "results" / "intervals.md"
BEGIN, END = "<!-- tables: begin (python -m tests.statistics.table) -->", "<!-- tables: end -->"
TITLES = {"coverage": "Coverage of 95 % intervals", "false alarms": "False alarms", "power": "Power"}
# The coverage that an interval may have from 30 facts on. Above the upper bound it is conservative, which the table
# marks.
BOUNDS = 0.92, 0.985


def modules() -> list[str]:
    """The names of the modules here that simulate, sorted."""
    found = (one.name for one in pkgutil.iter_modules(package.__path__) if not one.name.startswith("test"))
    return [name for name in sorted(found) if hasattr(import_module(f"{package.__name__}.{name}"), "cells")]


def simulate(name: str, draws: int) -> list[dict[str, Any]]:
    """The cells of one module, as the JSON file holds them."""
    cells: Iterable[Cell] = import_module(f"{package.__name__}.{name}").cells(draws)
    return [{key: _short(value) for key, value in asdict(cell).items()} for cell in cells]


def tables(results: Mapping[str, list[dict[str, Any]]]) -> str:
    """All tables in Markdown, by kind, with a row for each figure and truth and a column for each number of facts."""
    rows = [row for name in sorted(results) for row in results[name]]
    parts = []
    for kind, title in TITLES.items():
        own = [row for row in rows if row["kind"] == kind]
        if own:
            parts.append(f"### {title}\n\n" + "\n".join(_table(own, kind)))
    return "\n\n".join(parts)


def _table(rows: list[dict[str, Any]], kind: str) -> Iterable[str]:
    counts = sorted({_facts(row["size"]) for row in rows}, key=_as_number)
    yield f"| figure | truth | a draw holds | {'' if kind == 'coverage' else 'nominal | '}{' | '.join(counts)} |"
    yield "|---" * (3 + (kind != "coverage")) + "|---:" * len(counts) + "|"
    groups: dict[tuple[str, ...], dict[str, dict[str, Any]]] = {}
    for row in rows:
        key = row["figure"], row["truth"], _design(row["size"]), f"{100 * row['nominal']:g}"
        groups.setdefault(key, {})[_facts(row["size"])] = row
    for key, found in groups.items():
        shown = key[:3] if kind == "coverage" else key
        cells = (_cell(found[count], kind) if count in found else "" for count in counts)
        yield f"| {' | '.join(shown)} | {' | '.join(cells)} |"


def _cell(row: Mapping[str, Any], kind: str) -> str:
    """The share of draws in per cent, the median width, the unbounded share, and ``c`` for a conservative interval."""
    text = f"{100 * row['found']:.1f}"
    if kind != "coverage":
        return text
    if row["width"] is not None:
        text += f" ({row['width']:.2g})"
    if row.get("unbounded"):
        text += f", {100 * row['unbounded']:.0f} % unbounded"
    return text + " c" * (row["found"] > BOUNDS[1])


def _facts(size: str) -> str:
    """The part ``30 facts`` of ``30 facts of 2 questions``."""
    return " ".join(size.split()[:2])


def _design(size: str) -> str:
    return " ".join(size.split()[2:]).removeprefix("of ") or "one each"


def _as_number(count: str) -> tuple[str, int]:
    number, _, unit = count.partition(" ")
    return (unit, int(number)) if number.isdigit() else (count, 0)


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def written(page: str, results: Mapping[str, list[dict[str, Any]]]) -> str:
    """The page with new tables."""
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n\n{tables(results)}\n\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, help="draws a cell; none: write the tables only")
    parser.add_argument("--only", choices=modules(), help="simulate this module only")
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    if arguments.draws:
        for name in [arguments.only] if arguments.only else modules():
            results[name] = simulate(name, arguments.draws)
            lines = ",\n".join(f'"{key}": [\n{_lines(rows)}\n]' for key, rows in sorted(results.items()))
            RESULTS.parent.mkdir(exist_ok=True)
            RESULTS.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")


def _lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)


if __name__ == "__main__":
    main()
