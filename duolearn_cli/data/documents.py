"""Documents: running texts about patients, the facts that they state, and the windows in which models read them.

An item (items.py) asks for one fact. A document states many, so what is forgotten and kept may share a sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Span:
    """The characters ``text[start:end]`` of a document that state a value, such as "penicillin".

    fact: the fact that it states, as in `Item.fact`; "" if no item asks for it.
    concepts: ids of hierarchy concepts, if the data set names them.
    clause: the characters to remove with the value so that the rest still reads well; None: the value alone.
    """

    start: int
    end: int
    fact: str = ""
    concepts: tuple[str, ...] = ()
    clause: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """One running text.

    patient: whom it is about, as in `Item.patient`.
    date: day of the document, ISO 8601 (``2024-03-31``).
    subject: its kind or specialty, such as "Surgery" or "discharge summary".
    spans: what the data set says about parts of the text, from left to right and without overlap.
    source, row: where it comes from. They do not count when documents are compared.
    """

    id: str
    text: str
    patient: str | None = None
    date: str | None = None
    subject: str | None = None
    spans: tuple[Span, ...] = ()
    source: str = field(default="", compare=False)
    row: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a document that fits into a model: ``document.text[start:end]``.

    Windows overlap. What lies before `own` was read in the window before it and is context here.
    """

    document: Document
    start: int
    own: int
    end: int

    @property
    def text(self) -> str:
        return self.document.text[self.start : self.end]


def cut_out(text: str, gaps: Sequence[tuple[int, int]]) -> str:
    """Return `text` without the characters of `gaps`, which may overlap; spaces at the seams are joined into one."""
    kept, at = [], 0
    for start, end in sorted(gaps):
        if start > at:
            kept.append(text[at:start])
        at = max(at, end)
    parts = [part for part in (*kept, text[at:]) if part.strip()]
    joined = parts[0] if parts else ""
    for part in parts[1:]:
        # A seam between two spaces keeps one; a mark such as a full stop follows the word before it.
        own = part.lstrip(" ") if joined.endswith((" ", "\n")) else part
        joined = joined.rstrip(" ") + own if own[:1] in ".,;:)" else joined + own
    return joined
