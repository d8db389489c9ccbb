"""Read which option a row marks as right: by number, letter, option name or text, in the forms that data sets use."""

from __future__ import annotations

import re
from collections.abc import Sequence

from duolearn_cli.data.cleaning import clean, fold, whole_number
from duolearn_cli.data.items import LETTERS
from duolearn_cli.data.marks import match_text
from duolearn_cli.data.readers.raw import NO_OPTION, Raw, RowError

_WORD = re.compile(r"(?:option|choice|answer|opt|ans)[\s:#._-]*(?=\S)", re.IGNORECASE)
_SEPARATOR = re.compile(r"\s*(?:[,;/&+|]|\band\b|\bor\b)\s*")
_FRAME = "().:[]{}\"' "


def bare(answer: object) -> str:
    """Return an answer without words and marks around it: "option3" gives "3", "(c)." gives "c"; "3.0" stays."""
    text = clean(answer[0] if isinstance(answer, list | tuple) and len(answer) == 1 else answer).strip(_FRAME)
    return _WORD.sub("", text, count=1).strip(_FRAME)


def number_of(answer: object) -> int | None:
    """Return the whole number that an answer is, or None."""
    number = None if isinstance(answer, list | tuple) and len(answer) != 1 else whole_number(answer)
    return number if number is not None or isinstance(answer, bool) else whole_number(bare(answer))


def letter_of(answer: object) -> int | None:
    """Return the position (0 for A) of the letter that an answer is, or None."""
    letter = bare(answer).upper()
    return LETTERS.index(letter) if len(letter) == 1 and letter in LETTERS else None


def texts(options: Sequence[object]) -> list[str]:
    """Return the options as clean texts; a position without an option gives an empty string."""
    return ["" if option is NO_OPTION else clean(option) for option in options]


def matched(raw: Raw) -> int | None:
    """Return the position of the option whose text is the answer, or None."""
    answer = raw.answer[0] if isinstance(raw.answer, list | tuple) and len(raw.answer) == 1 else raw.answer
    return match_text(clean(answer), texts(raw.options))


def place_of(raw: Raw, kind: str | None = None) -> int | None:
    """Return the 0-based position in `raw.options` that the answer means, or None if it cannot be read.

    The answer is read as `kind` (default: the row's own `answer_kind`). The position may be out of range, or that of a
    filled column (`NO_OPTION`).
    """
    kind = kind or raw.answer_kind
    if kind == "text":
        return matched(raw)
    # Names first: an option may be called "1" or "A" in another order than its position.
    if (named := _named(raw)) is not None:
        return named
    if kind == "letter":
        return letter_of(raw.answer)
    number = number_of(raw.answer)
    return None if number is None else number - (kind == "index1")


def _named(raw: Raw) -> int | None:
    """Return the position of the option whose name is the answer, or None."""
    names = [fold(name) for name in raw.names]
    for form in (fold(raw.answer), fold(bare(raw.answer))):
        if form and names.count(form) == 1:
            return names.index(form)
    return None


def read_answer(raw: Raw) -> int:
    """Return the 0-based position of the right option in `raw.options`.

    Raises:
        RowError: the answer cannot be read, or it means a position without an option.
    """
    answer, kind = raw.answer, raw.answer_kind
    if isinstance(answer, list | tuple) and len(answer) > 1:
        raise RowError("several_answers", f"the answer is {answer!r}; an item has one right option")
    place = place_of(raw)
    if place is None:
        raise _unreadable(raw)
    if not 0 <= place < len(raw.options):
        num = sum(option is not NO_OPTION for option in raw.options)
        raise RowError("answer_out_of_range", f"answer {answer!r}, read as {kind}, is not one of the {num} options")
    if raw.options[place] is NO_OPTION:
        raise RowError("answer_is_no_option", f"the answer {answer!r} is option {place + 1}, which is only a filler")
    return place


def _unreadable(raw: Raw) -> RowError:
    """Return the error for an answer that cannot be read: several answers in one cell, or the wrong kind."""
    answer, kind = raw.answer, raw.answer_kind
    if kind == "text":
        options = [option for option in texts(raw.options) if option]
        parts = [part for part in re.split(r"\s*[,;|]\s*", clean(answer)) if part]
        if len(parts) > 1 and all(match_text(part, options) is not None for part in parts):
            return RowError("several_answers", f"the answer is {answer!r}; an item has one right option")
        return RowError("answer_text_mismatch", f"the answer {clean(answer)!r} is not one of the options {options}")
    read = letter_of if kind == "letter" else number_of
    parts = _SEPARATOR.split(clean(answer).strip("()[]{} "))
    if len(parts) > 1 and all(read(part) is not None for part in parts):
        return RowError("several_answers", f"the answer is {answer!r}; an item has one right option")
    if kind == "letter":
        return RowError("answer_not_a_letter", f"the answer is {answer!r}; one letter such as A is needed")
    return RowError("answer_not_a_number", f"the answer is {answer!r}; a whole number is needed")
