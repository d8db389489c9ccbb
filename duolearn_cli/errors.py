"""Errors that a user can fix. The command line shows each as one message, never as a traceback."""

from __future__ import annotations

import re
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


class Interrupted(KeyboardInterrupt):
    """The process was told to stop: by Ctrl-C, or by a signal of a batch system or terminal, which counts as Ctrl-C."""

    def __init__(self, number: int = 2) -> None:
        super().__init__()
        self.status = 128 + number


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the word of `known` that is closest to `word`, or an empty string."""
    import difflib  # imported here because only an error message needs it

    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {match[0]!r}?)" if match else ""


# Of terminal escapes and other control characters only tab and line end stay. A line longer than this is shortened.
_CONTROL = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-_]"  # ECMA-48: OSC, CSI, other escapes
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"  # controls; marks that reverse the direction
)
LONGEST = 1200


def visible(text: str) -> str:
    """Return a text as a terminal may show it: data cannot move the cursor, nor set colours, titles or directions."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def printable(text: str) -> str:
    """Return a message as a terminal may show it: `visible`, encodable, and with no line that fills screens."""
    clean = visible(text).encode("utf-8", "backslashreplace").decode("utf-8")
    return "\n".join(map(_shortened, clean.split("\n")))


def _shortened(line: str) -> str:
    half = LONGEST // 2
    return line if len(line) <= LONGEST else f"{line[:half]} [{len(line) - LONGEST:,} more] {line[-half:]}"


def present(value: T | None, what: str) -> T:
    """Return `value`, which is there unless this program has a fault. Raises RuntimeError where it is None."""
    if value is None:
        raise RuntimeError(f"{what} is missing: this is a fault of duolearn, not of your settings; please report it")
    return value
