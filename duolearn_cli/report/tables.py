"""Results as tables: metrics.json in, one neutral structure out, rendered for a terminal, Markdown or HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from duolearn_cli.evaluation.measures import MEASURES, of_table
from duolearn_cli.evaluation.measures.measure import Measure
from duolearn_cli.evaluation.warning_text import WORDS, has_enough
from duolearn_cli.report.measures import DASH, added_to, arrow, cell, cell_of, counted, number

if TYPE_CHECKING:
    import rich.table
    from rich.console import Console, ConsoleOptions, RenderResult

MODELS = ("unlearned", "target", "gold", "base")
# Beside a value that a warning is about.
FLAGGED = " (!)"
TOO_FEW = "too few for a claim"


@dataclass(frozen=True, slots=True)
class Table:
    """A header and rows of strings; the first `num_text` columns hold words, the others numbers."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    num_text: int = 1

    def markdown(self) -> str:
        """The table as Markdown that pastes anywhere."""
        rule = ["---" if i < self.num_text else "---:" for i in range(len(self.header))]
        lines = [map(markdown_text, self.header), rule, *(map(markdown_text, row) for row in self.rows)]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def records(self) -> str:
        """The table as one block of lines for each row, for screens that are too narrow for its columns."""
        blocks = (
            "\n".join([row[0], *(f"  {name}: {text}" for name, text in zip(self.header[1:], row[1:], strict=True))])
            for row in self.rows
        )
        return "\n".join(blocks)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        wide, narrow = self._rich(" "), self._rich("\n")
        # rich measures within the width that it is given, and would call every table narrow enough.
        unlimited = options.update(max_width=10_000)
        if console.measure(wide, options=unlimited).minimum <= options.max_width:
            yield wide
        elif console.measure(narrow, options=unlimited).minimum <= options.max_width:
            yield narrow
        else:
            # Too narrow for columns: records lose no number, cropped columns would.
            yield Text(f"{self.title}\n\n{self.records()}\n")

    def _rich(self, before_interval: str) -> rich.table.Table:
        """A rich table; `before_interval` breaks cells in a sensible place where the terminal is narrow."""
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(
            title=Text(self.title, style="bold"),
            title_justify="left",
            box=box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, 1, 0, 0),
        )
        rows = [[text.replace(" [", f"{before_interval}[") for text in row] for row in self.rows]
        for position, name in enumerate(self.header):
            if position < self.num_text:
                table.add_column(Text(name))
            else:
                # Words may wrap, numbers may not: an interval cut in two is easily misread.
                longest = max((len(line) for row in rows for line in row[position].splitlines()), default=0)
                table.add_column(Text(name), justify="right", min_width=longest)
        for row in rows:
            table.add_row(*map(Text, row))
        return table


def markdown_text(text: str) -> str:
    """Text as one Markdown table cell or line: no markup, no HTML, no line break; readable unrendered, too."""
    escaped = html.escape(" ".join(text.split()), quote=False)
    escaped = re.sub(r"([\\`*|])", r"\\\1", escaped)
    # Underscores inside a word and brackets without a link's parenthesis mean nothing in Markdown: they stay.
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", escaped).replace("](", "]\\(")


def present(metrics: Mapping[str, Any]) -> list[str]:
    """The models that were scored, in the order of the columns."""
    return [name for name in MODELS if metrics["models"].get(name)]


def measures_table(metrics: Mapping[str, Any]) -> Table:
    """Measures down, models across, each with its 95 % interval; measures given for no model are left out."""
    models, doubted = present(metrics), metrics.get("flagged") or ()
    rows = []
    for key, measure in shown_measures(metrics):
        found = [measure.find(metrics["models"][name]) for name in models]
        doubt = [FLAGGED if name == "unlearned" and key in doubted else "" for name in models]
        if reason := next((one["reason"] for one in found if one and one.get("reason") and one["value"] is None), None):
            rows.append((f"{worded(measure.label, metrics)}: {reason}", *(DASH for _ in models)))
            continue
        cells = (cell_of(measure, one) + mark for one, mark in zip(found, doubt, strict=True))
        few = TOO_FEW if not all(has_enough(one) for one in found if one) else ""
        # Here, where words may wrap: one more column would not fit a terminal of 80 characters.
        label = f"{worded(measure.label, metrics)}{arrow(measure, found)}"
        rows.append((f"{label}, {counted(measure, found, few)}", *cells))
    note = f";{FLAGGED}: see the warnings" if any(FLAGGED in text for row in rows for text in row) else ""
    part = metrics.get("part") or "all"
    of = "" if part == "all" else f" on {part} facts"
    return Table(f"Results{of}, with 95 % intervals{note}", ("Measure", *models), tuple(rows))


def short_table(metrics: Mapping[str, Any]) -> Table:
    """The measures that matter most, in the 60 columns of a narrow terminal: only `unlearned` with its interval."""
    models = [name for name in present(metrics) if name != "base"] or present(metrics)
    doubted, rows = metrics.get("flagged") or (), []
    for key, measure in of_table("terminal", added_to(metrics)).items():
        found = [measure.find(metrics["models"][name]) for name in models]
        if any(found):
            cells = [cell_of(measure, one) for one in found]
            first = cells[0] + (FLAGGED if models[0] == "unlearned" and key in doubted else "")
            others = (text.partition(" [")[0] for text in cells[1:])
            rows.append((f"{worded(measure.label, metrics)}{arrow(measure, found)}", first, *others))
    note = f";{FLAGGED}: see the warnings" if any(FLAGGED in row[1] for row in rows) else ""
    return Table(f"Results, with 95 % intervals{note}", ("Measure", *models), tuple(rows))


def shown_measures(metrics: Mapping[str, Any]) -> Iterator[tuple[str, Measure]]:
    """The measures that some model has, in the order of the rows; some only where a warning is about them."""
    models, doubted = [metrics["models"][name] for name in present(metrics)], metrics.get("flagged") or ()
    for key, measure in (MEASURES | added_to(metrics)).items():
        instead = MEASURES[measure.unless] if measure.unless else None
        is_shown = "results" in measure.tables or ("warning" in measure.tables and key in doubted)
        if is_shown and any(map(measure.find, models)) and not (instead and any(map(instead.find, models))):
            yield key, measure


def heldout_kind(metrics: Mapping[str, Any]) -> str:
    """What held-out askings are in this run, a key of `WORDS`; older runs do not tell."""
    return (metrics.get("data") or {}).get("heldout") or "phrasings"


def worded(text: str, metrics: Mapping[str, Any]) -> str:
    """A measure's label with what trained and held-out askings are in this run."""
    own = WORDS[heldout_kind(metrics)]
    for usual, word in zip(WORDS["phrasings"], own, strict=True):
        text = text.replace(usual, word)
    return text


def ordered_subjects(metrics: Mapping[str, Any], forget: Collection[str]) -> list[str]:
    """Every subject that some model was scored on, the forgotten ones first."""
    names = {subject for name in present(metrics) for subject in metrics["models"][name].get("subjects") or {}}
    return sorted(names, key=lambda subject: (subject not in forget, subject.casefold()))


def subject_table(metrics: Mapping[str, Any], forget: Collection[str] = ()) -> Table:
    """Accuracy by subject before (target), after (unlearned) and for gold; the change is in percentage points."""
    header = ("Subject", "items", "Before: target (%)", "After: unlearned (%)", "Gold (%)", "Change (points)")
    rows = tuple(
        _subject_row(metrics["models"], subject, subject in forget) for subject in ordered_subjects(metrics, forget)
    )
    return Table("Accuracy by subject, with 95 % intervals", header, rows)


def _subject_row(models: Mapping[str, Any], subject: str, is_forget: bool) -> tuple[str, ...]:
    by_model = {name: ((models.get(name) or {}).get("subjects") or {}).get(subject) for name in MODELS}
    count = min(entry["n"] for entry in by_model.values() if entry)
    before, after = (number((by_model[name] or {}).get("value")) for name in ("target", "unlearned"))
    change = DASH if before is None or after is None else f"{100 * (after - before):+z.1f}"
    cells = (cell(by_model[name], scale=100, digits=1) for name in ("target", "unlearned", "gold"))
    few = not all(has_enough(entry) for entry in by_model.values() if entry)
    remarks = ["forget"] * is_forget + [TOO_FEW] * few
    return (f"{subject} ({', '.join(remarks)})" if remarks else subject, str(count), *cells, change)


def level_table(metrics: Mapping[str, Any], names: Mapping[int, str]) -> Table:
    """Forgetting and preservation by level of the concept hierarchy, for gold and the unlearned model.

    `names` are the levels' names by number. A kind of item with too few items at a level has no value there.
    """
    models = [name for name in present(metrics) if metrics["models"][name].get("levels")]
    measures = ("forgetting", "preservation", "score")
    header = ("Level", "items", *(f"{measure.capitalize()}, {model} (%)" for model in models for measure in measures))
    found = {model: metrics["models"][model]["levels"] for model in models}
    levels = sorted({level for by_level in found.values() for level in by_level}, key=int)
    rows = tuple(
        (
            f"{level} {names.get(int(level), '')}".strip(),
            str(max(own["n"] for model in models for own in found[model].get(level, {}).values())),
            *(
                cell(found[model].get(level, {}).get(measure), scale=100, digits=1)
                for model in models
                for measure in measures
            ),
        )
        for level in levels
    )
    return Table("By level of the concept hierarchy, with 95 % intervals", header, rows)
