"""From the rows of a source to items: what only the whole file shows first, then row by row."""

from __future__ import annotations

from collections.abc import Iterable

from duolearn_cli.data.checks import build
from duolearn_cli.data.fills import without_fills
from duolearn_cli.data.items import Loaded, Rejected, collect
from duolearn_cli.data.notes import Notes
from duolearn_cli.data.numbering import settle
from duolearn_cli.data.raw import Raw

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
    return collect((build(one, notes) if isinstance(one, Raw) else one for one in entries), policy, notes)
