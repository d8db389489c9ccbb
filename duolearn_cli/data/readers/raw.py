"""One row of a source, before any check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ANSWER_KINDS = ("index", "index0", "index1", "letter", "text")
# Marks a filler such as N/A in `Raw.options`. It is not an option, but numbers and letters of answers count it.
NO_OPTION: Any = type("NoOption", (), {"__repr__": lambda self: "NO_OPTION"})()


@dataclass(frozen=True, slots=True)
class Raw:
    """The unchecked fields of one row.

    answer, answer_kind: the answer, and how to read it: a position from 0 ("index0") or from 1 ("index1"), a letter, or
        the option's text. "index" is a position whose base `numbering.settle` reads from the whole column.
    answer_text: the right option's text if the source also has it; it must agree with `answer`.
    names: the options' names if the source has them (A, option1); an answer may be one of them.
    """

    source: str
    row: int
    id: object
    question: object
    options: tuple[object, ...]
    answer: object
    answer_kind: str
    answer_text: object = None
    subject: object = None
    topic: object = None
    explanation: object = None
    concepts: tuple[object, ...] = ()
    fact: object = None
    heldout: object = False
    patient: object = None
    date: object = None
    names: tuple[str, ...] = ()


class RowError(Exception):
    """A row cannot become an item. `reason` is a code, `detail` a sentence, as in the `Rejected` that it ends as."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail
