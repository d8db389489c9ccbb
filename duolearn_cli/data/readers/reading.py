"""Turn the rows of a source into items: first what only the whole file shows, then row by row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from duolearn_cli.data.cleaning import fold
from duolearn_cli.data.items import Item, Loaded, Rejected, collect
from duolearn_cli.data.readers.checks import build
from duolearn_cli.data.readers.fills import without_fills
from duolearn_cli.data.readers.numbering import settle
from duolearn_cli.data.readers.raw import Raw
from duolearn_cli.data.readers.row_notes import Notes

ANSWER_KIND = "dataset.fields.answer_kind"


def read(
    source: str,
    rows: Iterable[Raw | Rejected],
    policy: str,
    *,
    setting: str | None = ANSWER_KIND,
    base_is_known: bool = False,
) -> Loaded:
    """Recognise fillers and the numbering of answers, then check every row.

    Args:
        source: the name of the source, for messages.
        rows: the raw rows, and rows that are already rejected.
        policy: what to do with a bad row: ``error`` or ``skip``.
        setting: the setting that says how answers are read, for messages; None if the user has no such setting.
        base_is_known: the reader itself has found out whether numbers begin at 0 or 1.

    Raises:
        DataError: the answers contradict the setting, or one of the cases of `collect`.
    """
    notes = Notes()
    # Fillers first: they are not options, so they change which answer is the number of the last option.
    entries = without_fills(list(rows), notes)
    if not base_is_known:
        entries = settle(source, entries, notes, setting)
    loaded = collect((build(one, notes) if isinstance(one, Raw) else one for one in entries), policy)
    _note_contradictions(loaded.items, notes)
    return replace(loaded, notes=notes.sentences())


def _note_contradictions(items: Iterable[Item], notes: Notes) -> None:
    """Note items that have the question and options of an earlier item, but another right answer."""
    earlier: dict[str, list[Item]] = {}
    for item in items:
        same = earlier.setdefault(fold(item.question), [])
        options = sorted(map(fold, item.options)) if same else []
        for other in same:
            if sorted(map(fold, other.options)) == options and fold(other.answer_text) != fold(item.answer_text):
                notes.add("an item repeats an earlier one with another right answer: one of them is wrong", item.row)
                break
        same.append(item)
