"""Write the tables of docs/results/index.md from the results that are kept beside it: `python scripts/results_page.py`.

demo.json holds metrics.json of one run of the main job, with its command. benchmark-surgery-defaults.json.gz holds all
answers of a benchmark. A test compares the page with what this writes.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from duolearn_cli.report.tables import measures_table
from duolearn_cli.report.verdict import verdict

sys.path.insert(0, str(Path(__file__).parent))  # a test loads this file from elsewhere
from results_table import benchmark

FOLDER = Path(__file__).parents[1] / "docs" / "results"
PAGE = FOLDER / "index.md"


def demo() -> str:
    """The main job's measures and verdict."""
    kept = json.loads((FOLDER / "demo.json").read_text(encoding="utf-8"))
    source = f"`{kept['command']}`, seed 0, {kept['where']}, commit {kept['commit']}, {kept['date']}."
    return f"{source}\n\n{measures_table(kept['metrics']).markdown()}\n\n{verdict(kept['metrics'])}"


def compared() -> str:
    """Three methods by their defaults."""
    return benchmark(FOLDER / "benchmark-surgery-defaults.json.gz")


def with_tables(page: str, tables: Mapping[str, str]) -> str:
    """The page with each table between its two comments."""
    for name, table in tables.items():
        begin, end = f"<!-- begin: {name} (python scripts/results_page.py) -->", f"<!-- end: {name} -->"
        made = f"{begin}\n\n{table}\n\n{end}"
        page, found = re.subn(re.escape(begin) + ".*?" + re.escape(end), lambda _, made=made: made, page, flags=re.S)
        if found != 1:
            raise ValueError(f"{PAGE} needs one place for {name}")
    return page


def made() -> str:
    """The page as it should be."""
    return with_tables(PAGE.read_text(encoding="utf-8"), {"demo": demo(), "compared": compared()})


if __name__ == "__main__":
    PAGE.write_text(made(), encoding="utf-8")
