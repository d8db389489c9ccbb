"""Errors that a user can fix. The command line shows each as one message, never as a traceback."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


class UserError(Exception):
    """An error that the user can fix.

    The message is shown unchanged. It says what is wrong, what was found, what is allowed and how to fix it.
    Commands exit with `status`.
    """

    # 2: the command was refused before it did its work. 1: it did its work and that work failed (LeakError).
    status = 2


class ConfigError(UserError):
    """The configuration is not valid. The message lists every problem, one a line."""


class DataError(UserError):
    """A data file, or a row of one, cannot be used."""


class ModelError(UserError):
    """A model cannot be found, read or used with these settings."""


class RunError(UserError):
    """A run folder cannot be read, resumed or written."""


class DivergedError(RunError):
    """Training diverged: a gradient, step or prediction is not finite. A lower learning rate usually helps."""


class LeakError(UserError):
    """An audit found a leak. The command ran to its end; its result is the failure."""

    status = 1


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the word of `known` that is closest to `word`, or an empty string."""
    import difflib  # imported here because only an error message needs it

    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {match[0]!r}?)" if match else ""


def present(value: T | None, what: str) -> T:
    """Return `value`, which is there unless this program has a fault. Raises RuntimeError where it is None."""
    if value is None:
        raise RuntimeError(f"{what} is missing: this is a fault of duolearn, not of your settings; please report it")
    return value
