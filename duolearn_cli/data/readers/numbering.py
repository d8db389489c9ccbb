"""Decide from a whole column of answers how to read them: as numbers from 0 or from 1, as letters, or as texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from duolearn_cli.data.cleaning import clean
from duolearn_cli.data.items import Rejected
from duolearn_cli.data.readers.answers import letter_of, matched, number_of, place_of
from duolearn_cli.data.readers.raw import NO_OPTION, Raw
from duolearn_cli.data.readers.row_notes import Notes
from duolearn_cli.errors import DataError

_SLIPS = 0.01  # an answer in a smaller share of the rows may be a mistake
_OUTWEIGHED = 4  # a base is refused if this many times as many rows speak against it as for it
# A configured kind is refused if it reads at most the first share of the answers, and another one at least the second.
_READS_FEW, _READS_NEARLY_ALL = 0.6, 0.9


class Seen(NamedTuple):
    """The evidence on whether answers count from 0 or from 1.

    `zero` are the rows with the answer 0, which only exists when counting from 0. `last` are the rows whose answer is
    the number of options, which only exists when counting from 1. `total` is the number of numeric answers.
    """

    zero: tuple[int, ...]
    last: tuple[int, ...]
    total: int

    @classmethod
    def of(cls, rows: Sequence[Raw]) -> Seen:
        """Collect the evidence from the rows whose answers are whole numbers."""
        numbers = [(raw, number) for raw in rows if (number := number_of(raw.answer)) is not None]
        return cls(
            tuple(raw.row for raw, number in numbers if number == 0),
            tuple(raw.row for raw, number in numbers if number == _size(raw)),
            len(numbers),
        )

    def rows(self, base: int) -> tuple[int, ...]:
        """Return the rows that show that answers count from `base`."""
        return self.last if base else self.zero


def _size(raw: Raw) -> int:
    """Return the number of positions up to the last real option."""
    return max((place + 1 for place, option in enumerate(raw.options) if option is not NO_OPTION), default=0)


def settle(
    source: str, entries: Sequence[Raw | Rejected], notes: Notes, setting: str | None = "dataset.fields.answer_kind"
) -> list[Raw | Rejected]:
    """Replace the answer kind "index" by index0 or index1, and refuse a configured kind that the column contradicts.

    Args:
        source: the name of the source, for messages.
        entries: all rows; they have the same `answer_kind`.
        notes: gets a note if the column does not decide, or if some rows contradict the kind.
        setting: the setting that the user can change, for messages. None if the reader knows how its data set counts.

    Raises:
        DataError: the column contradicts the configured kind, or does not decide between index0 and index1.
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
    """Refuse a kind that reads few answers if another reads almost all, such as letters configured as numbers.

    Otherwise every row would be rejected for itself, and the user would not see the one setting to change.
    """
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
    # A configured base is refused only if the column speaks clearly against it: a few rows may be mistakes.
    base = int(kind[-1])
    ours, theirs = len(seen.rows(base)), len(seen.rows(1 - base))
    least = _SLIPS * seen.total
    if theirs >= max(1, least) and theirs >= _OUTWEIGHED * ours:
        raise _contradiction(source, seen, base, setting)
    if setting and seen.total and not ours and not theirs:
        notes.add(
            f"answers are read as {kind}: none is 0 and none is the number of its options, so the column does not show "
            f"whether options are counted from 0 or from 1"
        )
    elif theirs:
        notes.add(f"answers are read as {kind}, although {theirs} of {seen.total} suggest counting from {1 - base}")
    return kind


def _inferred(source: str, seen: Seen, setting: str | None) -> str:
    if not seen.total:
        return "index0"  # the answers are option names, or unreadable: the base does not matter
    least = _SLIPS * seen.total
    proven = [base for base in (0, 1) if len(seen.rows(base)) >= max(1, least)]
    if len(proven) == 1:
        return f"index{proven[0]}"
    evidence = f"{len(seen.zero)} of {seen.total} answers are 0 and {len(seen.last)} are the number of options"
    raise DataError(
        f"{source}: {evidence}, so it is unclear whether options are counted from 0 or from 1. "
        f"Set {setting}=index0 (the first option is 0) or {setting}=index1 (the first option is 1)."
    )


def _contradiction(source: str, seen: Seen, base: int, setting: str | None) -> DataError:
    ours, theirs = len(seen.rows(base)), seen.rows(1 - base)
    what = {0: "0", 1: "equal to the number of options"}
    fix = f"Set {setting}=index{1 - base}, or correct the rows." if setting else "Correct the column."
    few = {0: "none is", 1: "1 is"}.get(ours, f"{ours} are")
    many = f"{len(theirs)} of {seen.total} answers {'is' if len(theirs) == 1 else 'are'} {what[1 - base]}"
    return DataError(
        f"{source}: answers should count options from {base}, but {many} (first in row {theirs[0]}) and {few} "
        f"{what[base]}: the first option seems to be {1 - base}. {fix}"
    )
