"""The page of a comparison: compare.html, compare.md, compare.json and the figure."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from duolearn_cli.evaluation.measures import of_table
from duolearn_cli.files import write_json, write_text
from duolearn_cli.report.changed_items import changes_table, items_table
from duolearn_cli.report.compared import remarks
from duolearn_cli.report.comparison import (
    Comparison,
    difference_cell,
    differences_table,
    runs_table,
    seeds_table,
    settings_table,
    values_table,
    verdicts_table,
)
from duolearn_cli.report.documents import notes_tables
from duolearn_cli.report.figures import to_svg
from duolearn_cli.report.job_lights import count_lights
from duolearn_cli.report.lights import lights_of
from duolearn_cli.report.measures import arrow, cell_of
from duolearn_cli.report.pareto import pareto_of_runs
from duolearn_cli.report.pictures import Picture
from duolearn_cli.report.summary_page import Summary, write_summary
from duolearn_cli.report.tables import Table, markdown_text

CAPTION = (
    "Keeping over forgetting of each run, with 95 % intervals. The best place is where gold is: 100 % forgotten, "
    "nothing else lost."
)
HIDDEN = (
    "The changed questions are not listed: these are your own data. report.show_items=true lists them, if the data "
    "can still be read."
)
# Runs whose differences fit a terminal beside their values.
MOST_IN_TERMINAL = 3


def write_comparison(folder: Path, found: Comparison) -> list[Path]:
    """Write all files of a comparison into `folder`, and return their paths."""
    page = summary(found, folder)
    write_json(folder / "compare.json", found.as_dict())
    write_summary(folder / "compare.html", page)
    write_text(folder / "compare.md", markdown(page))
    for picture in page.pictures:
        write_text(folder / f"{picture.name}.svg", picture.svg)
    return [folder / name for name in ("compare.html", "compare.md", "compare.json")]


def summary(found: Comparison, folder: Path) -> Summary:
    """What the page shows."""
    first = found.runs[0]
    figure = pareto_of_runs(
        {run.label: run.job.scores or {} for run in found.runs}, [run.job.gold for run in found.runs if run.job.gold]
    )
    pictures = [Picture("pareto", CAPTION, to_svg(figure, "pareto"))] if figure else []
    reports = [(run, run.folder / "report.html") for run in found.runs]
    # Relative links still work when the folders are moved together.
    links = [(str(run), os.path.relpath(path, folder)) for run, path in reports if path.is_file()]
    title = f"{len(found.runs)} runs compared: {first.metrics['forget']}"
    said = [*how_to_read(found), *([HIDDEN] if found.is_hidden else [])]
    return Summary(title, sentence(found), list(remarks(found.runs)), said, tables(found), pictures, links)


def tables(found: Comparison) -> list[Table]:
    """All tables of a page, those that matter most first. A table without rows is left out."""
    first = found.labels[0]
    every = [verdicts_table(found), seeds_table(found, found.measures), differences_table(found), values_table(found)]
    every += notes_tables({run.label: run.metrics.get("documents") or {} for run in found.runs})
    every += [settings_table(found), changes_table(first, found.changed)]
    every += [items_table(first, label, rows) for label, rows in found.items.items() if rows]
    return [table for table in [*every, runs_table(found)] if table and table.rows]


def sentence(found: Comparison) -> str:
    """What differs for certain in the measures of a terminal, over seeds if there are several, or that nothing does."""
    first, is_mean = found.labels[0], bool(found.over_seeds)
    means = {f"with {name}": own for name, own in found.over_seeds.items()}
    compared = means or {f"in {label}": own for label, own in found.differences.items()}
    parts = [part for name, own in compared.items() for part in _certain(found, own, name)]
    lights = count_lights([run.job for run in found.runs])
    if not any("low" in one for own in compared.values() for one in own.values()):
        few = " An interval over seeds needs three seeds or more." if is_mean else ""
        return f"{lights} No interval could be paired, so no difference is shown.{few}"
    reference = f"compared with the settings of {first} over seeds" if is_mean else f"compared with {first}"
    if not parts:
        return f"{lights} No difference from {first} is shown: every paired interval holds zero."
    return f"{lights} Shown by paired intervals, {reference}: {'; '.join(parts)}."


def _certain(found: Comparison, estimates: Mapping[str, Mapping[str, Any]], name: str) -> Iterator[str]:
    """The differences whose intervals do not hold zero, in words; `name` says where."""
    for key, measure in of_table("terminal", found.measures).items():
        estimate = estimates.get(key) or {}
        low, high = estimate.get("low"), estimate.get("high")
        if low is not None and high is not None and (low > 0 or high < 0):
            amount = difference_cell(measure, estimate).lstrip("+-").partition(" ")[0]
            unit = " points" if measure.percent else ""
            yield f"{measure.name} is {amount}{unit} {'higher' if low > 0 else 'lower'} {name}"


def how_to_read(found: Comparison) -> Iterator[str]:
    """How the numbers came about."""
    first = found.labels[0]
    yield (
        f"A difference is a run's value less that of {first}; of measures in per cent it is in percentage points. Its "
        "interval is paired by fact: it is about how the two runs answer the same facts, and narrower than those of "
        "the two values suggest. An interval that does not hold zero shows a difference."
    )
    yield (
        "Not paired: the measure is not a mean over items (HMTA, MIA scores), a denominator may be zero, or the "
        "answers are missing. Compare the two intervals of the values instead."
    )
    yield (
        "Intervals of two single runs say nothing about other seeds. For that, compare sweeps over seed: three seeds "
        "or more give a table of means over seeds. Each interval stands for itself: of twenty, one is expected to "
        "miss."
    )
    for run in found.runs:
        said, _ = lights_of(run.metrics, {"verdict": (run.job.verdict or {}).get("limits")})
        if said:
            yield f"{run.label}: {said}"


def markdown(page: Summary) -> str:
    """The page as Markdown."""
    parts = [f"# {markdown_text(page.title)}", markdown_text(page.sentence)]
    parts += ["\n".join(f"- {markdown_text(line)}" for line in page.warnings)] if page.warnings else []
    parts += [f"![{picture.caption}]({picture.name}.svg)" for picture in page.pictures]
    parts += [f"## {markdown_text(table.title)}\n\n{table.markdown()}" for table in page.tables]
    parts.append("\n".join(f"- {markdown_text(line)}" for line in page.remarks))
    return "\n\n".join(parts) + "\n"


def terminal_tables(found: Comparison) -> list[Table]:
    """The verdicts with the settings that differ, and the measures that matter most."""
    means = seeds_table(found, of_table("terminal", found.measures))
    return [table for table in (verdicts_table(found), _short(found), means) if table and table.rows]


def _short(found: Comparison) -> Table:
    """The measures of a terminal; their differences beside them if the runs are few."""
    first, *others = found.labels
    others = others if len(found.runs) <= MOST_IN_TERMINAL else []
    rows = []
    for key, measure in of_table("terminal", found.measures).items():
        values = [cell_of(measure, (run.job.scores or {}).get(key)).partition(" [")[0] for run in found.runs]
        apart = [difference_cell(measure, found.differences[label].get(key)) for label in others]
        rows.append((f"{measure.label}{arrow(measure)}", *values, *apart))
    header = ("Measure", *found.labels, *(f"{label} - {first}" for label in others))
    title = "Measures; differences with paired 95 % intervals" if others else "Measures"
    return Table(title, header, tuple(rows))
