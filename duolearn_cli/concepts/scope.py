"""The patients and days that a forget target is limited to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

from duolearn_cli.errors import ConfigError

FORM = "FROM..TO, each YYYY-MM-DD or empty, such as 2024-01-01..2024-06-30"


@dataclass(frozen=True)
class Scope:
    """Who and when. No patient stands for everybody; an empty `first` or `last` (ISO days) for no limit."""

    patients: frozenset[str] = frozenset()
    first: str = ""
    last: str = ""

    @classmethod
    def of(cls, patients: Collection[str], dates: str) -> Scope:
        """Read the settings ``forget.patients`` and ``forget.dates``. Raises ConfigError if the days are no days."""
        first, dots, last = (dates or "").strip().partition("..")
        if dates and (not dots or not (first or last)):
            raise ConfigError(f"forget.dates={dates!r} names no days; allowed: {FORM}.")
        for day in (first, last):
            if day and not _is_day(day):
                raise ConfigError(f"forget.dates={dates!r}: {day!r} is no day; allowed: {FORM}.")
        if first and last and first > last:
            raise ConfigError(f"forget.dates={dates!r} ends before it begins; write the earlier day first.")
        return cls(frozenset(map(str, patients)), first, last)

    @property
    def is_limited(self) -> bool:
        return bool(self.patients or self.first or self.last)

    def holds(self, patient: str | None, day: str | None) -> bool:
        """Return whether something about this patient, of this ISO day, lies inside.

        What names no patient, or no day, lies outside if the scope is limited by it: nobody asked to forget it.
        """
        if self.patients and patient not in self.patients:
            return False
        if not (self.first or self.last):
            return True
        return day is not None and self.first <= day[:10] <= (self.last or "9999")


EVERYBODY = Scope()


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
