"""The embedded textbook facts: tables that are filled into templates to make multiple-choice items."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from duolearn_cli.data.items import LETTERS, Item, Loaded
from duolearn_cli.data.readers import embedded_tables
from duolearn_cli.data.readers.embedded_tables import NUM_OPTIONS, Fact, read_tables
from duolearn_cli.errors import DataError

FOLDER = Path(__file__).parent / "minimed"


@lru_cache(maxsize=1)
def facts() -> tuple[Fact, ...]:
    """Return all facts of the embedded tables, in file order. Raises DataError if a table is malformed."""
    return tuple(read_tables(FOLDER))


def phrasings(fact: Fact) -> Iterator[Item]:
    """Yield one item for each phrasing of a fact."""
    return embedded_tables.phrasings(fact, "minimed")


@dataclass
class Minimed:
    """The embedded data set. It has no settings, so it is the same everywhere."""

    def load(self) -> Loaded:
        """Return all phrasings of all facts."""
        return Loaded(tuple(item for fact in facts() for item in phrasings(fact)))


def to_medmcqa(item: Item) -> dict[str, Any]:
    """Return the item in MedMCQA's JSON-lines format, where `cop` counts from 1.

    Raises:
        DataError: the item does not have four options.
    """
    if len(item.options) != NUM_OPTIONS:
        raise DataError(f"item {item.id} has {len(item.options)} options; MedMCQA's format has four.")
    return {
        "id": item.id,
        "question": item.question,
        **{f"op{LETTERS[place].lower()}": option for place, option in enumerate(item.options)},
        "cop": item.answer + 1,
        "choice_type": "single",
        "exp": item.explanation,
        "subject_name": item.subject,
        "topic_name": item.topic,
    }
