"""Mistakes a user can mend: shown as one message, never as a traceback."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


class UserError(Exception):
    """What was wrong, what was found, what is accepted, and the mend.

    The message is shown as it stands; commands exit with `status`.
    """

    status = 2


class ConfigError(UserError):
    """The configuration is refused; the message lists every problem, one a line."""


class DataError(UserError):
    """A data file or one of its rows is refused."""


class ModelError(UserError):
    """A model cannot be found, read or used as asked."""


class RunError(UserError):
    """A run folder cannot be read, resumed or written."""


class DivergedError(RunError):
    """What was computed is not finite: the settings are too much for the model."""


class LeakError(UserError):
    """An audit has found a leak: the command was not refused, it has failed."""

    status = 1


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the closest of `known`, or an empty string."""
    import difflib  # only a mistake needs it

    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {match[0]!r}?)" if match else ""


def present(value: T | None, what: str) -> T:
    """Return `value`, which is there unless this program has a fault. Raises RuntimeError where it is None."""
    if value is None:
        raise RuntimeError(f"{what} is missing: this is a fault of duolearn, not of your settings; please report it")
    return value
