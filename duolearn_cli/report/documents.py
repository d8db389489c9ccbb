"""What models know of documents, by nearness to what is forgotten, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from duolearn_cli.data.nearness import GROUPS, PARTS
from duolearn_cli.report.tables import DASH, Table, cell

MODELS = ("unlearned", "target", "gold", "base")
FACTS = {
    "question": "Notes: right answers to held-out questions (%), with 95 % intervals over facts",
    "continuation": "Notes: right continuations of a note's own beginning (%), with 95 % intervals over facts",
}
WORDS = {
    "predicted": ("Notes: words that are the model's first choice (%), with 95 % intervals over documents", 100, 1),
    "values": ("Notes: values said word by word (%), with 95 % intervals over documents", 100, 1),
    "nll": ("Notes: mean loss of a token (nats), with 95 % intervals over documents", 1, 2),
}


def document_tables(found: Mapping[str, Any] | None) -> list[Table]:
    """Return the tables of the part `documents` of metrics.json; none for data without documents."""
    if not found:
        return []
    ordered = {name: found[name] for name in MODELS if name in found}
    return [*_facts(ordered), *_words(ordered)]


def notes_tables(runs: Mapping[str, Mapping[str, Any]]) -> list[Table]:
    """Return the same tables for the unlearned models of several runs, a column for each; none without documents."""
    own = {label: found["unlearned"] for label, found in runs.items() if "unlearned" in found}
    return [*_facts(own), *_words(own)] if own else []


def _facts(found: Mapping[str, Any]) -> Iterator[Table]:
    for kind, title in FACTS.items():
        by_model = {name: one["facts"].get(kind, {}) for name, one in found.items()}
        if table := _table(title, "Facts", ("forgotten", *GROUPS), by_model, 100, 1):
            yield table


def _words(found: Mapping[str, Any]) -> Iterator[Table]:
    for key, (title, scale, digits) in WORDS.items():
        by_model = {
            name: {part: words[key] for part, words in one["words"].items() if key in words}
            for name, one in found.items()
        }
        if table := _table(title, "Words", PARTS, by_model, scale, digits):
            yield table


def _table(
    title: str,
    first: str,
    names: tuple[str, ...],
    by_model: Mapping[str, Mapping[str, Mapping[str, Any]]],
    scale: float,
    digits: int,
) -> Table | None:
    """One row for each part that some model has, one column for each model."""
    rows = []
    for name in names:
        known = [own[name] for own in by_model.values() if name in own]
        if known:
            cells = (cell(own[name], scale, digits) if name in own else DASH for own in by_model.values())
            rows.append((name.replace("_", " "), str(known[0]["facts"]), *cells))
    return Table(title, (first, "n", *by_model), tuple(rows)) if rows else None
