"""Questions of each kind of change, with what each model answered: from the examples.jsonl of a run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from duolearn_cli.data.items import LETTERS

KINDS = {
    "forgotten": ("Forgotten", "Forget questions that the model answered right before and answers wrong now."),
    "known": ("Still known", "Forget questions that the model answered right before and still answers right."),
    "kept": ("Kept", "Retain questions that the model answered right before and still answers right."),
    "lost": ("Collateral damage", "Retain questions that the model answered right before and answers wrong now."),
}
MODELS = {"target": "before (target)", "unlearned": "now (unlearned)", "gold": "gold"}


@dataclass(frozen=True, slots=True)
class Chosen:
    """What one model answered."""

    model: str
    text: str
    is_right: bool


@dataclass(frozen=True, slots=True)
class Question:
    """One question: its text and the right option, or only its subject and a letter where texts are hidden."""

    text: str
    answer: str
    chosen: tuple[Chosen, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Questions of one kind; `count` is how many there are in all, of `of` questions."""

    key: str
    title: str
    meaning: str
    count: int
    of: int
    questions: tuple[Question, ...]


def groups(rows: Sequence[Mapping[str, Any]]) -> list[Group]:
    """The kinds that have questions, in the order of `KINDS`."""
    by_kind = {kind: [row for row in rows if row["kind"] == kind] for kind in KINDS}
    return [
        Group(kind, *KINDS[kind], own[0]["count"], own[0]["of"], tuple(map(_question, own)))
        for kind, own in by_kind.items()
        if own
    ]


def are_hidden(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the texts are left out, as they are for the user's own data."""
    return any(row["question"] is None for row in rows)


def _question(row: Mapping[str, Any]) -> Question:
    chosen = tuple(
        Chosen(name, _option(row, row["chosen"][model]), row["chosen"][model] == row["answer"])
        for model, name in MODELS.items()
        if model in row["chosen"]
    )
    text = row["question"] or f"A question{' about ' + row['subject'] if row['subject'] else ''} (text hidden)"
    return Question(text, _option(row, row["answer"]), chosen)


def _option(row: Mapping[str, Any], place: int) -> str:
    letter = LETTERS[place]
    return f"{letter}. {row['options'][place]}" if row["options"] else letter
