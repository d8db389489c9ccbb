"""Read a day from what tables, notes and FHIR write, as ISO 8601."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable

from duolearn_cli.data.cleaning import clean

# Dropped: a day is all that a request names, and a shift to another time zone would change it.
_TIME = r"(?:[T ]\d\d(?::?\d\d(?::?\d\d(?:[.,]\d+)?)?)?\s*(?:Z|UTC|[+-]\d\d:?\d\d)?)?"
_YEAR_FIRST = re.compile(r"(\d{4})([-/.]?)(\d{1,2})\2(\d{1,2})" + _TIME, re.ASCII)
_NUMBERS = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})" + _TIME, re.ASCII)
_DAY_FIRST = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?[ .-]+([a-z]{3,9})\.?,?[ -]+(\d{4})", re.ASCII)
_MONTH_FIRST = re.compile(r"([a-z]{3,9})\.? +(\d{1,2})(?:st|nd|rd|th)?,? +(\d{4})", re.ASCII)
# English names. Others would need a language for each file, and "mar" is Tuesday in one of them.
_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)


def iso_day(value: object) -> str | None:
    """Return the day that a value names, as YYYY-MM-DD; None for an empty value.

    A time of day is dropped. The day is the one that is written, in whatever time zone.

    Raises:
        ValueError: the value names no exact day (2024-03), one that does not exist, or may name two (03/04/2024).
    """
    if isinstance(value, datetime.date):  # a datetime is one too
        return value.isoformat()[:10]
    text = clean(value)
    if not text:
        return None
    for pattern, parts in _FORMS:
        if match := pattern.fullmatch(text.casefold() if pattern in (_DAY_FIRST, _MONTH_FIRST) else text):
            return _iso(text, *parts(match))
    raise ValueError(f"{text!r} names no exact day")


def _iso(text: str, year: int, month: int, day: int) -> str:
    try:
        return datetime.date(year, month, day).isoformat()
    except ValueError as error:
        raise ValueError(f"{text!r} is no day of the calendar") from error


def _year_first(match: re.Match[str]) -> tuple[int, int, int]:
    # Without marks between them, 2024131 may be 31 January or 1 December with a digit missing.
    if not match[2] and len(match[3] + match[4]) < 4:
        raise ValueError(f"{match[0]!r} names no exact day")
    return int(match[1]), int(match[3]), int(match[4])


def _numbers(match: re.Match[str]) -> tuple[int, int, int]:
    """Read numbers with the year at the end, if only one of the others can be the month."""
    first, second, year = int(match[1]), int(match[3]), int(match[4])
    # Never settled by the other rows of a file: one in American order among others would be read wrongly in silence.
    if first != second and first <= 12 and second <= 12:
        raise ValueError(f"{match[0]!r} may name two days")
    return (year, second, first) if first > 12 else (year, first, second)


def _day_first(match: re.Match[str]) -> tuple[int, int, int]:
    return int(match[3]), _month(match, match[2]), int(match[1])


def _month_first(match: re.Match[str]) -> tuple[int, int, int]:
    return int(match[3]), _month(match, match[1]), int(match[2])


def _month(match: re.Match[str], word: str) -> int:
    """Return the number of a month's English name, or of its first three letters or more."""
    for number, name in enumerate(_MONTHS, start=1):
        if name.startswith(word):
            return number
    raise ValueError(f"{match[0]!r} names no exact day")


# Below the functions that they name. ISO 8601 comes first because it is by far the most frequent.
_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], tuple[int, int, int]]], ...] = (
    (_YEAR_FIRST, _year_first),
    (_NUMBERS, _numbers),
    (_DAY_FIRST, _day_first),
    (_MONTH_FIRST, _month_first),
)
