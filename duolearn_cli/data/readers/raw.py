"""One row as its source gives it, before any check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ANSWER_KINDS = ("index", "index0", "index1", "letter", "text")
# Stands in `Raw.options` where a column is filled with N/A or the like: no option, but places and letters count it.
NO_OPTION: Any = type("NoOption", (), {"__repr__": lambda self: "NO_OPTION"})()


@dataclass(frozen=True, slots=True)
class Raw:
    """The fields of one row as its source gives them, nothing checked yet.

    `answer` is read as `answer_kind` says: a position from 0 or from 1, a letter, or the option's text ("index", a
    position from where the column shows, is settled before rows are built). `answer_text`, where the source has it
    too, must agree with the option that `answer` points at. `names`, where the source names its options (A, option1),
    are those names: an answer may be one of them.
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
    names: tuple[str, ...] = ()
