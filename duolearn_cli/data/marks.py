"""Compare texts that differ only in marks: option letters, full stops, HTML entities, characters without width."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from duolearn_cli.data.items import LETTERS

# Dashes and quotes that count as the same mark, and marks that do not count at the end of a text.
_SAME = str.maketrans(
    {**dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-")}
    | {**dict.fromkeys("\u2018\u2019\u201b\u2032\u00b4`", "'"), **dict.fromkeys("\u201c\u201d\u201f\u2033", '"')}
)
_ENDS = " .,;:>\"'"
# An option's letter, in parentheses or before a dot, colon, bracket or dash, and the text behind it.
_LETTER = re.compile(r"\s*[(\[]?\s*([A-Za-z])\s*(?:[).:\]]\s*|\s[-\u2013]\s)(?=\S)(.+)", re.DOTALL)
# White space must follow the number, because "1.5 mg" is not numbered.
_NUMBER = re.compile(r"\s*[(\[]?(\d{1,2})[).\]]\s+(.+)", re.DOTALL)
# Case matters in words of up to this many letters: PT and pT, Mg and mg, CO and Co.
SYMBOL_LETTERS = 3
# Signs that a text was damaged before it came here; the names stand in notes to the user.
_ODD = {
    "HTML entities such as &amp;": re.compile(r"&(?:#\d{1,6}|#[xX][0-9a-fA-F]{1,5}|[A-Za-z]{2,8}\d{0,2});"),
    "control characters": re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"),
    "characters without width": re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]"),
    "characters that were lost earlier (\ufffd)": re.compile("\ufffd"),
    "characters that look decoded twice (such as \u00c3\u00a9 for \u00e9)": re.compile(
        "[\u00c2\u00c3][\u0080-\u00bf]|\u00e2\u20ac"
    ),
}
_DATE = re.compile(
    r"\d{1,2}-(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)(?:-\d{2,4})?|"
    r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)-\d{1,4}|\d{4}-\d\d-\d\d(?: 00:00:00)?"
)


def visible(text: str) -> str:
    """Return `text` without characters that have no width."""
    return text if text.isascii() else "".join(char for char in text if unicodedata.category(char) != "Cf")


def loose(text: str) -> str:
    """Return a text for loose comparison: without case, HTML entities, characters without width, outer quotes, and
    punctuation at its end."""
    plain = visible(html.unescape(text)).translate(_SAME)
    return " ".join(plain.casefold().split()).strip(" \"'").rstrip(_ENDS)


def odd_marks(text: str) -> list[str]:
    """Return the names of the signs of damage in `text`."""
    if text.isascii() and "&" not in text and text.isprintable():
        return []
    return [name for name, pattern in _ODD.items() if pattern.search(text)]


def is_spreadsheet_date(text: str) -> bool:
    """Return whether an option looks like a range, such as 3-4, that a spreadsheet has turned into a date."""
    return bool(_DATE.fullmatch(text))


def same_option(one: str, other: str) -> bool:
    """Return whether two options are the same. Case only matters in words of up to three letters (PT, pT)."""
    a, b = (" ".join(visible(text).split()) for text in (one, other))
    if a == b:
        return True
    if a.casefold() != b.casefold():
        return False
    pairs = zip(a.split(), b.split(), strict=False)
    return all(x == y or sum(map(str.isalpha, x)) > SYMBOL_LETTERS for x, y in pairs)


def match_text(text: str, options: Sequence[str]) -> int | None:
    """Return the position of the one option that equals `text`, or None.

    It tries, in this order: the exact text; without case and extra spaces; `loose`; a text behind a letter, where
    "D. text" is option D only if option D has this text.
    """
    if text in options:
        return options.index(text)
    for form in (lambda value: " ".join(value.casefold().split()), loose):
        wanted, folded = form(text), [form(option) for option in options]
        if wanted and folded.count(wanted) == 1:
            return folded.index(wanted)
    if lettered := _LETTER.fullmatch(text):
        place = _letter_place(lettered[1])
        if place < len(options) and loose(options[place]) == loose(lettered[2]):
            return place
    return None


class Unlettered(NamedTuple):
    """Options without the letters or numbers in front of them.

    `places` are the positions that the letters or numbers name, or None if the options have none. `partly` means that
    some options, but not all, begin with their own letter.
    """

    options: tuple[str, ...]
    places: tuple[int, ...] | None
    partly: bool = False


def unlettered(options: Sequence[str]) -> Unlettered:
    """Remove letters (A., (B), C)) or numbers (1., 2)) from options, if every option has one and together they are the
    first letters or numbers."""
    for pattern, place in ((_LETTER, _letter_place), (_NUMBER, lambda mark: int(mark) - 1)):
        matches = [pattern.fullmatch(option) for option in options]
        places = [place(match[1]) if match else None for match in matches]
        if len(options) > 1 and sorted(-1 if p is None else p for p in places) == list(range(len(options))):
            return Unlettered(
                tuple(match[2].strip() for match in matches if match), tuple(p for p in places if p is not None)
            )
    own = [bool(m) and _letter_place(m[1]) == i for i, m in enumerate(_LETTER.fullmatch(o) for o in options)]
    return Unlettered(tuple(options), None, partly=any(own))


def _letter_place(letter: str) -> int:
    return LETTERS.index(letter.upper())
