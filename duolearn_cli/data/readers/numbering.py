"""What a whole column of answers says about how it is to be read: from 0 or from 1, as letters or as texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from duolearn_cli.data.cleaning import clean
from duolearn_cli.data.items import Rejected
from duolearn_cli.data.readers.answers import letter_of, matched, number_of, place_of
from duolearn_cli.data.readers.notes import Notes
from duolearn_cli.data.readers.raw import NO_OPTION, Raw
from duolearn_cli.errors import DataError

_SLIPS = 0.01  # share of the rows below which an answer may be a slip
_OUTWEIGHED = 4  # times as many rows against a base as for it
# A kind is refused where it reads no more than this, and another one reads nearly all.
_READS_FEW, _READS_NEARLY_ALL = 0.6, 0.9


class Seen(NamedTuple):
    """Rows whose answer is 0, and rows whose answer is the number of their options: what tells 0-based from 1-based."""

    zero: tuple[int, ...]
    last: tuple[int, ...]
    total: int

    @classmethod
    def of(cls, rows: Sequence[Raw]) -> Seen:
        """Count the whole numbers among the answers."""
        numbers = [(raw, number) for raw in rows if (number := number_of(raw.answer)) is not None]
        return cls(
            tuple(raw.row for raw, number in numbers if number == 0),
            tuple(raw.row for raw, number in numbers if number == _size(raw)),
            len(numbers),
        )

    def rows(self, base: int) -> tuple[int, ...]:
        """The rows that speak for counting from `base`."""
        return self.last if base else self.zero


def _size(raw: Raw) -> int:
    """How many places there are up to the last option."""
    return max((place + 1 for place, option in enumerate(raw.options) if option is not NO_OPTION), default=0)


def settle(
    source: str, entries: Sequence[Raw | Rejected], notes: Notes, setting: str | None = "dataset.fields.answer_kind"
) -> list[Raw | Rejected]:
    """Settle "index" as index0 or index1, and refuse a declared kind that the column contradicts.

    `setting` is what the user can change; None where the reader knows how its data set counts.

    Raises:
        DataError: the column contradicts what was declared, or leaves open what was to be inferred.
    """
    rows = [entry for entry in entries if isinstance(entry, Raw) and clean(entry.answer)]
    if not rows:
        return list(entries)
    kind = rows[0].answer_kind
    _check_kind(source, rows, kind, setting)
    if kind.startswith("index"):
        kind = _settled(source, rows, kind, notes, setting)
    return [replace(entry, answer_kind=kind) if isinstance(entry, Raw) else entry for entry in entries]


def _check_kind(source: str, rows: Sequence[Raw], kind: str, setting: str | None) -> None:
    """Letters declared as numbers and the like: say which kind reads the column, before every row is rejected."""
    if setting is None:
        return
    number = "index1" if kind == "index" else kind if kind.startswith("index") else "index"
    readable = {
        number: [raw for raw in rows if number_of(raw.answer) is not None or _names(raw)],
        "letter": [raw for raw in rows if (letter_of(raw.answer) is not None and not _is_text(raw)) or _names(raw)],
        "text": [raw for raw in rows if _is_text(raw)],
    }
    own = number if kind == "index" else kind
    best = max(readable, key=lambda name: len(readable[name]))
    few, many = _READS_FEW * len(rows), _READS_NEARLY_ALL * len(rows)
    if len(readable[own]) <= few and len(readable[best]) >= many:
        row = readable[best][0]
        raise DataError(
            f"{source}: {setting}={kind} reads {len(readable[own])} of {len(rows)} answers, {best} reads "
            f"{len(readable[best])}; row {row.row} has {clean(row.answer)[:40]!r}. Set {setting}={best}."
        )


def _names(raw: Raw) -> bool:
    return bool(raw.names) and not _is_text(raw) and place_of(raw, "letter") is not None


def _is_text(raw: Raw) -> bool:
    return matched(raw) is not None


def _settled(source: str, rows: Sequence[Raw], kind: str, notes: Notes, setting: str | None) -> str:
    seen = Seen.of(rows)
    if kind == "index":
        return _inferred(source, seen, setting)
    base = int(kind[-1])
    ours, theirs = len(seen.rows(base)), len(seen.rows(1 - base))
    least = _SLIPS * seen.total
    if theirs >= max(1, least) and theirs >= _OUTWEIGHED * ours:
        raise _contradiction(source, seen, base, setting)
    if setting and seen.total and not ours and not theirs:
        notes.add(
            f"answers are read as {kind}: none is 0 and none the number of its options, so the column cannot show "
            f"whether options are counted from 0 or from 1"
        )
    elif theirs:
        notes.add(f"answers are read as {kind}, though {theirs} of {seen.total} speak for counting from {1 - base}")
    return kind


def _inferred(source: str, seen: Seen, setting: str | None) -> str:
    if not seen.total:
        return "index0"  # names of options, or what no kind reads: numbers play no part
    least = _SLIPS * seen.total
    proven = [base for base in (0, 1) if len(seen.rows(base)) >= max(1, least)]
    if len(proven) == 1:
        return f"index{proven[0]}"
    found = f"{len(seen.zero)} of {seen.total} answers are 0 and {len(seen.last)} are the number of options"
    raise DataError(
        f"{source}: {found}, so it cannot be told whether options are counted from 0 or from 1. "
        f"Set {setting}=index0 (the first option is 0) or {setting}=index1 (the first option is 1)."
    )


def _contradiction(source: str, seen: Seen, base: int, setting: str | None) -> DataError:
    ours, theirs = len(seen.rows(base)), seen.rows(1 - base)
    what = {0: "0", 1: "equal to the number of options"}
    cure = f"Set {setting}=index{1 - base}, or correct the rows." if setting else "Correct the column."
    few = {0: "none is", 1: "1 is"}.get(ours, f"{ours} are")
    many = f"{len(theirs)} of {seen.total} answers {'is' if len(theirs) == 1 else 'are'} {what[1 - base]}"
    return DataError(
        f"{source}: answers should count options from {base}, but {many} (first in row {theirs[0]}) and {few} "
        f"{what[base]}: the first option seems to be {1 - base}. {cure}"
    )
