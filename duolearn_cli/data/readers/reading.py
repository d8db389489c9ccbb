"""From the rows of a source to items: what only the whole file shows first, then row by row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from duolearn_cli.data.cleaning import fold
from duolearn_cli.data.items import Item, Loaded, Rejected, collect
from duolearn_cli.data.readers.checks import build
from duolearn_cli.data.readers.fills import without_fills
from duolearn_cli.data.readers.notes import Notes
from duolearn_cli.data.readers.numbering import settle
from duolearn_cli.data.readers.raw import Raw

ANSWER_KIND = "dataset.fields.answer_kind"


def read(
    source: str,
    rows: Iterable[Raw | Rejected],
    policy: str,
    *,
    setting: str | None = ANSWER_KIND,
    base_is_known: bool = False,
) -> Loaded:
    """Find what fills columns and how answers are numbered, then check every row.

    Args:
        setting: what tells how answers are read, as messages name it; None where the user has no such setting.
        base_is_known: the reader has looked for itself where numbers begin.

    Raises:
        DataError: the answers contradict what was declared; see `collect` for the rest.
    """
    notes = Notes()
    entries = without_fills(list(rows), notes)
    if not base_is_known:
        entries = settle(source, entries, notes, setting)
    loaded = collect((build(one, notes) if isinstance(one, Raw) else one for one in entries), policy)
    _note_contradictions(loaded.items, notes)
    return replace(loaded, notes=notes.sentences())


def _note_contradictions(items: Iterable[Item], notes: Notes) -> None:
    """Note items that ask the same as an earlier one, of the same options, and have another right answer."""
    earlier: dict[str, list[Item]] = {}
    for item in items:
        same = earlier.setdefault(fold(item.question), [])
        options = sorted(map(fold, item.options)) if same else []
        for other in same:
            if sorted(map(fold, other.options)) == options and fold(other.answer_text) != fold(item.answer_text):
                notes.add("an item asks what an earlier one asks, and has another right answer: one is wrong", item.row)
                break
        same.append(item)
