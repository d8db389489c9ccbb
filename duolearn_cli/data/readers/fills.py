"""Recognise fillers: words such as N/A that stand in an empty column and are neither an option nor a label."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from duolearn_cli.data.cleaning import clean, fold
from duolearn_cli.data.items import Rejected
from duolearn_cli.data.readers.answers import number_of, place_of
from duolearn_cli.data.readers.raw import NO_OPTION, Raw
from duolearn_cli.data.readers.row_notes import Notes

_BLANKS = ("", "-", "--", "\u2013", "\u2014")
FILLS = frozenset(
    ("n/a", "na", "n.a.", "#n/a", "<na>", "null", "nan", "nat", "not applicable", "not available", *_BLANKS)
)
# Python prints a missing value as "None", but exams also use it for "none of these". So these words need more evidence.
WORDS = frozenset(("none", "nil"))
NO_LABEL = FILLS | {"none", "unknown", "unlabelled", "unlabeled"}
# The share of a column's rows from which a word of `FILLS`, or one of `WORDS`, is a filler.
SHARE, WORD_SHARE = 0.1, 0.5
# The share of its rows in which a filler of `WORDS` may be marked as right, by mistake.
SLIPS = 0.01


def without_fills(entries: Sequence[Raw | Rejected], notes: Notes) -> list[Raw | Rejected]:
    """Replace fillers in columns of options by `NO_OPTION`.

    A word of `FILLS` is a filler if it stands in at least a tenth of a column's rows. A word of `WORDS` is one if it
    stands in at least half of them and is almost never the right answer. In fewer rows the words keep their meaning: an
    empty option, for which the row is rejected later, or an option that reads "N/A", which is noted.
    """
    rows = [entry for entry in entries if isinstance(entry, Raw)]
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    sizes: Counter[int] = Counter()
    for raw in rows:
        if not _has_options(raw):
            continue
        sizes.update(range(len(raw.options)))
        for place, option in enumerate(raw.options):
            if (word := _word(option)) is not None:
                counts[place][word] += 1
    fills = {
        (place, word)
        for place, words in counts.items()
        for word, count in words.items()
        if (count >= SHARE * sizes[place] if word in FILLS else _is_filled(rows, place, word, count, sizes[place]))
    }
    return [
        _marked(entry, fills, notes) if isinstance(entry, Raw) and _has_options(entry) else entry for entry in entries
    ]


def _has_options(raw: Raw) -> bool:
    """Whether anything but fills stands there: an empty row of a spreadsheet says nothing about its columns."""
    return any(_word(option) is None for option in raw.options)


def _word(option: object) -> str | None:
    """Return the folded word if an option may be a filler, else None."""
    if option is not None and not isinstance(option, str | float):
        return None
    if isinstance(option, str) and len(option) > 20:  # saves folding most options
        return None
    word = fold(option)
    return word if word in FILLS or word in WORDS else None


def _is_filled(rows: Sequence[Raw], place: int, word: str, count: int, size: int) -> bool:
    """Return whether a word such as "None" is a filler: it stands in half of the rows and is almost never right."""
    if count < WORD_SHARE * size:
        return False
    # The base of the numbers is taken from the column, not from the setting: with a wrong setting the last option could
    # look right.
    counts_from_0 = any(number_of(raw.answer) == 0 for raw in rows)
    own = [raw for raw in rows if place < len(raw.options) and _word(raw.options[place]) == word]
    base = "index0" if counts_from_0 else "index1"
    kinds = [base if raw.answer_kind.startswith("index") else raw.answer_kind for raw in own]
    right = sum(place_of(raw, kind) == place for raw, kind in zip(own, kinds, strict=True))
    return right <= SLIPS * count


def _marked(raw: Raw, fills: set[tuple[int, str]], notes: Notes) -> Raw:
    options: list[object] = list(raw.options)
    for place, option in enumerate(raw.options):
        word = _word(option)
        if (place, word) in fills:
            options[place] = NO_OPTION
            shown = repr(clean(option)) if word else "empty"
            notes.add(f"option {place + 1} is {shown}, a filler: it is neither asked nor counted", raw.row)
        elif word in FILLS and word:
            notes.add(f"an option reads {clean(option)!r}: it is asked as an option, because few rows have it", raw.row)
    return raw if NO_OPTION not in options else replace(raw, options=tuple(options))


def label(value: object) -> object:
    """Return a subject or topic, or None if the value only says that there is none (N/A, nan, unknown)."""
    return None if fold(value) in NO_LABEL else value
