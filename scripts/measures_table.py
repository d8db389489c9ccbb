"""Write the tables of measures into docs/metrics.md, from the rows of `duolearn_cli.evaluation.measures`.

    python scripts/measures_table.py

The tables are between two comments of the page; a test compares them with the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from duolearn_cli.evaluation.measures import MEASURES, OF_SPLIT
from duolearn_cli.evaluation.measures.measure import ALL, NAMED, Measure
from duolearn_cli.report.measures import ARROWS, arrow

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"
BEGIN, END = "<!-- begin: python scripts/measures_table.py -->\n", "<!-- end -->\n"


def with_tables(page: str) -> str:
    """The page with its tables made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{tables()}{END}{after}"


def tables() -> str:
    """The measures among a model's scores, and those that every split has, as Markdown."""
    scores = {key: measure for key, measure in MEASURES.items() if measure.path == ("scores", key)}
    return f"{_scores(scores)}\n{_of_split()}"


def _scores(measures: Mapping[str, Measure]) -> str:
    lines = ["| score | called | best | models | definition |", "|---|---|---|---|---|"]
    for key, measure in measures.items():
        called = f"{measure.name} [P]" if measure.origin == NAMED else measure.name
        models = "all" if measure.models == ALL else ", ".join(measure.models)
        lines.append(_row(f"`{key}`", called, arrow(measure).strip(), models, measure.definition))
    return "\n".join(lines) + "\n"


def _of_split() -> str:
    lines = ["| of a split | best | definition | source |", "|---|---|---|---|"]
    for key, measure in OF_SPLIT.items():
        best = ARROWS[measure.higher_is_better].strip()
        lines.append(_row(f"`{key}`", best, measure.definition, measure.origin))
    return "\n".join(lines) + "\n"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
