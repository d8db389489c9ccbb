"""Results as tables: metrics.json in, one neutral structure out, rendered for a terminal, Markdown or HTML."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import rich.table
    from rich.console import Console, ConsoleOptions, RenderResult

DASH = "—"
ARROWS = {True: " ↑", False: " ↓", None: ""}
MODELS = ("base", "target", "gold", "unlearned")
FEW_ITEMS = 30
# Beside a value that a warning is about.
FLAGGED = " (!)"
TOO_FEW = "too few for a claim"

ACCURACY = "Plain accuracy; asking each fact in trained and held-out phrasings is this project's protocol."
NAMED = "The paper (arXiv 2511.19498) names it; its equation is not available to us: the definition is this project's."
OWN = "This project's own; the paper gives none."


@dataclass(frozen=True, slots=True)
class Measure:
    """A row of the results: where it lies in a model's entry, what it means, and whose definition that is."""

    name: str
    path: tuple[str, ...]
    definition: str
    origin: str = OWN
    higher_is_better: bool | None = None
    percent: bool = True

    @property
    def label(self) -> str:
        return f"{self.name} (%)" if self.percent else self.name

    def find(self, model: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The estimate in a model's entry, or None."""
        entry: Any = model
        for key in self.path:
            entry = (entry or {}).get(key)
        return entry

    def arrow(self, estimates: Iterable[Mapping[str, Any] | None]) -> str:
        """Up or down for which way is better: as the estimates say, else as the measure does."""
        stated = [e["higher_is_better"] for e in estimates if e and e.get("higher_is_better") is not None]
        return ARROWS[stated[0] if stated else self.higher_is_better]

    def cell(self, estimate: Mapping[str, Any] | None) -> str:
        return cell(estimate, scale=100, digits=1) if self.percent else cell(estimate, scale=1, digits=3)


MEASURES = {
    "forget_trained": Measure(
        "Forget accuracy, trained phrasings",
        ("splits", "forget_train", "accuracy"),
        "Share of forget items answered correctly, in the words that the target was trained on.",
        origin=ACCURACY,
        higher_is_better=False,
    ),
    "forget_heldout": Measure(
        "Forget accuracy, held-out phrasings",
        ("splits", "forget_heldout", "accuracy"),
        "The same facts asked in words that no model was trained on: knowledge rather than strings.",
        origin=ACCURACY,
        higher_is_better=False,
    ),
    "retain_trained": Measure(
        "Retain accuracy, trained phrasings",
        ("splits", "retain_train", "accuracy"),
        "Share of retain items answered correctly, in the words that the target was trained on.",
        origin=ACCURACY,
        higher_is_better=True,
    ),
    "retain_heldout": Measure(
        "Retain accuracy, held-out phrasings",
        ("splits", "retain_heldout", "accuracy"),
        "The same retain facts asked in words that no model was trained on.",
        origin=ACCURACY,
        higher_is_better=True,
    ),
    "forgetting_rate": Measure(
        "FR",
        ("scores", "forgetting_rate"),
        "Forgetting rate: 1 - accuracy on forget items after. Above 1 - chance, answers are avoided, not unknown.",
        origin=NAMED,
        higher_is_better=True,
    ),
    "chance_corrected_forgetting": Measure(
        "Chance-corrected forgetting",
        ("scores", "chance_corrected_forgetting"),
        "(accuracy before - after) / (accuracy before - chance): 100 % at chance, more below chance.",
        higher_is_better=True,
    ),
    "forgetting_against_gold": Measure(
        "Forgetting against gold",
        ("scores", "forgetting_against_gold"),
        "(accuracy before - after) / (accuracy before - gold's): 100 % where as much is known as by a model that never "
        "learned the forget items, more where less is known than that.",
    ),
    "knowledge_preservation": Measure(
        "KPR",
        ("scores", "knowledge_preservation"),
        "Knowledge preservation rate: accuracy on retain items after / before; may exceed 100 %.",
        origin=NAMED,
        higher_is_better=True,
    ),
    "hmta": Measure(
        "HMTA",
        ("scores", "hmta"),
        "Per hierarchy level, the harmonic mean of chance-corrected forgetting of target items and preservation of the "
        "others (each within 0 and 1); averaged over levels by their weights. Higher is better at both at once.",
        origin=NAMED,
        higher_is_better=True,
    ),
    "mia_auc": Measure(
        "MIA AUC",
        ("scores", "mia_auc"),
        "Area under the ROC of a loss attack that tells trained forget facts from never-seen ones of equal length; 0.5 "
        "is blind.",
        origin="The usual definition; that the attack reads the loss is this project's choice.",
        percent=False,
    ),
    "mia_score": Measure(
        "MIA score",
        ("scores", "mia_score"),
        "1 - 2 |AUC - 0.5|: 1 if the attack is blind, 0 if it is always right or always wrong.",
        origin=NAMED,
        higher_is_better=True,
        percent=False,
    ),
    "invalid_rate": Measure(
        "Invalid answers",
        ("scores", "invalid_rate"),
        "Share of items whose most likely continuation is none of the options.",
        higher_is_better=False,
    ),
}


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

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        wide, narrow = self._rich(" "), self._rich("\n")
        unlimited = options.update(max_width=10_000)
        if console.measure(wide, options=unlimited).maximum <= options.max_width:
            yield wide
        elif console.measure(narrow, options=unlimited).minimum <= options.max_width:
            yield narrow
        else:
            # Too narrow for columns: lines that wrap lose no number, cropped columns would.
            yield Text(f"{self.title}\n\n{self.markdown()}\n")

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


def number(value: Any) -> float | None:
    """A finite float, or None for whatever cannot be shown."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def cell(estimate: Mapping[str, Any] | None, scale: float, digits: int) -> str:
    """``value [low, high]``; a dash where there is no value, no brackets where there is no interval."""
    value, low, high = (number((estimate or {}).get(key)) for key in ("value", "low", "high"))
    if value is None:
        return DASH
    shown = f"{scale * value:.{digits}f}"
    if low is None or high is None:
        return shown
    return f"{shown} [{scale * low:.{digits}f}, {scale * high:.{digits}f}]"


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
    for key, measure in MEASURES.items():
        found = [measure.find(metrics["models"][name]) for name in models]
        if any(found):
            doubt = [FLAGGED if name == "unlearned" and key in doubted else "" for name in models]
            cells = (measure.cell(one) + mark for one, mark in zip(found, doubt, strict=True))
            count = min(one["n"] for one in found if one)
            few = f" ({TOO_FEW})" if count < FEW_ITEMS else ""
            # In words that may wrap: a column more would not fit a terminal of 80 characters.
            label = held_out_words(measure.label, metrics)
            rows.append((f"{label}{measure.arrow(found)}, n {count}{few}", *cells))
    note = f";{FLAGGED}: see the warnings" if any(FLAGGED in text for row in rows for text in row) else ""
    part = metrics.get("part") or "all"
    of = "" if part == "all" else f" on {part} facts"
    return Table(f"Results{of}, with 95 % intervals{note}", ("Measure", *models), tuple(rows))


def held_out_words(text: str, metrics: Mapping[str, Any]) -> str:
    """`text` with what the held-out items of this run are: copies with shuffled options are no phrasings."""
    kind = (metrics.get("data") or {}).get("heldout")
    if kind == "orders":
        text = text.replace("trained phrasings", "trained order of options")
        return text.replace("eld-out phrasings", "eld-out orders of options")
    return text.replace("eld-out phrasings", "eld-out phrasings and orders of options") if kind == "both" else text


def ordered_subjects(metrics: Mapping[str, Any], forget: Collection[str]) -> list[str]:
    """Every subject that some model was scored on, the forgotten ones first."""
    names = {subject for name in present(metrics) for subject in metrics["models"][name].get("subjects") or {}}
    return sorted(names, key=lambda subject: (subject not in forget, subject.casefold()))


def subject_table(metrics: Mapping[str, Any], forget: Collection[str] = ()) -> Table:
    """Accuracy by subject before (target), after (unlearned) and for gold; the change is in percentage points."""
    header = ("Subject", "n", "Before: target (%)", "After: unlearned (%)", "Gold (%)", "Change (points)")
    rows = tuple(
        _subject_row(metrics["models"], subject, subject in forget) for subject in ordered_subjects(metrics, forget)
    )
    return Table("Accuracy by subject, with 95 % intervals", header, rows)


def _subject_row(models: Mapping[str, Any], subject: str, is_forget: bool) -> tuple[str, ...]:
    by_model = {name: ((models.get(name) or {}).get("subjects") or {}).get(subject) for name in MODELS}
    count = min(entry["n"] for entry in by_model.values() if entry)
    before, after = (number((by_model[name] or {}).get("value")) for name in ("target", "unlearned"))
    change = DASH if before is None or after is None else f"{100 * (after - before):+.1f}"
    cells = (cell(by_model[name], scale=100, digits=1) for name in ("target", "unlearned", "gold"))
    remarks = ["forget"] * is_forget + [TOO_FEW] * (count < FEW_ITEMS)
    return (f"{subject} ({', '.join(remarks)})" if remarks else subject, str(count), *cells, change)


def level_table(metrics: Mapping[str, Any], names: Mapping[int, str]) -> Table:
    """Forgetting and preservation by level of the concept hierarchy, for gold and the unlearned model.

    `names` are the levels' names by number. A kind of item with too few items at a level has no value there.
    """
    models = [name for name in present(metrics) if metrics["models"][name].get("levels")]
    measures = ("forgetting", "preservation", "score")
    header = ("Level", "n", *(f"{measure.capitalize()}, {model} (%)" for model in models for measure in measures))
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
