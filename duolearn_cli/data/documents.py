"""Documents: running texts about patients, the facts that they state, and the windows in which models read them.

An item (items.py) asks for one fact. A document states many, so what is forgotten and kept may share a sentence.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace


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


def apart(spans: Sequence[Span], start: int, end: int) -> bool:
    """Return whether the characters ``[start, end)`` share none with `spans`, which are in order and do not overlap."""
    # Only the last span that begins before the end may share characters with them.
    before = bisect_left(spans, end, key=lambda span: span.start) - 1
    return before < 0 or spans[before].end <= start


def without(document: Document, spans: Collection[Span]) -> Document:
    """Return the document without the clauses of `spans`, as if nobody had written them. Other spans move along."""
    if not spans:
        return document
    pieces = _kept(document.text, [span.clause or (span.start, span.end) for span in spans])
    text, places = _joined(document.text, pieces)
    moved = [own for span in document.spans if span not in spans and (own := _moved(span, places))]
    return replace(document, text=text, spans=tuple(moved))


def cut_out(text: str, gaps: Sequence[tuple[int, int]]) -> str:
    """Return `text` without the characters of `gaps`, which may overlap; spaces at the seams are joined into one."""
    return _joined(text, _kept(text, gaps))[0]


# A kept part of a text: its first character, its end, and where it begins in the new text.
Place = tuple[int, int, int]


def _kept(text: str, gaps: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the parts of `text` between the gaps, as (start, end)."""
    kept, at = [], 0
    for start, end in sorted(gaps):
        if start > at:
            kept.append((at, start))
        at = max(at, end)
    return [(start, end) for start, end in (*kept, (at, len(text))) if text[start:end].strip()]


def _joined(text: str, pieces: Sequence[tuple[int, int]]) -> tuple[str, list[Place]]:
    """Join parts of a text. Return the new text, and where each part lies in it."""
    joined, places = "", list[Place]()
    for start, end in pieces:
        if joined:
            # A seam between two spaces keeps one; a mark such as a full stop follows the word before it.
            own = text[start:end].lstrip(" ")
            if own[0] in ".,;:)":
                joined = joined.rstrip(" ")
            if joined.endswith((" ", "\n")) or own[0] in ".,;:)":
                start += end - start - len(own)
        places.append((start, end, len(joined)))
        joined += text[start:end]
    return joined, places


def _moved(span: Span, places: Sequence[Place]) -> Span | None:
    """Return a span where it lies in the new text, or None if a part of it was cut away."""
    at = _place(span.start, span.end, places)
    if at is None:
        return None
    clause = _place(*span.clause, places) if span.clause else None
    # A clause that lost a part, such as its conjunction, is what is left of it around the value.
    return replace(span, start=at[0], end=at[1], clause=clause or (at if span.clause else None))


def _place(start: int, end: int, places: Sequence[Place]) -> tuple[int, int] | None:
    inside = next(((first, new) for first, last, new in places if first <= start and end <= last), None)
    return None if inside is None else (start - inside[0] + inside[1], end - inside[0] + inside[1])
