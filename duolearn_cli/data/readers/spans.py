"""Check the annotated spans of a document, and keep them in place while its text is cleaned."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from itertools import accumulate, pairwise

from duolearn_cli.data.cleaning import clean
from duolearn_cli.data.documents import Span
from duolearn_cli.data.readers.raw import RowError

_KEYS = {"start", "end", "fact", "concepts", "clause"}
_BAD = "bad_span"


def clean_text(text: str) -> str:
    """Return a document's text: NFC-normalised, with ``\\n`` for every line break, and stripped."""
    return _normal(text).strip()


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))


def read_spans(value: object, text: str) -> tuple[Span, ...]:
    """Return the spans in a cell, with places in ``clean_text(text)`` and from left to right.

    Args:
        value: a list of objects with `start`, `end` and, where known, `fact`, `concepts` and `clause`; or that as
            JSON; or nothing. Places count characters of `text` as it stands in the file, `end` is the first behind.
        text: the text before it is cleaned.

    Raises:
        RowError: a span is malformed, outside of the text or empty, or two of them overlap.
    """
    spans = sorted((_span(one, len(text)) for one in _entries(value)), key=lambda span: span.start)
    for first, second in pairwise(spans):
        if second.start < first.end:
            raise RowError(_BAD, f"the spans {_shown(first)} and {_shown(second)} overlap")
    if empty := next((span for span in spans if not text[span.start : span.end].strip()), None):
        raise RowError(_BAD, f"the span {_shown(empty)} holds only white space")
    return _moved(spans, text)


def _entries(value: object) -> list[object]:
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else []
        except (ValueError, RecursionError) as error:
            raise RowError(_BAD, f"spans are not JSON: {error}") from error
    if value is None or isinstance(value, list):
        return value or []
    raise RowError(_BAD, f"spans are a {type(value).__name__}; a list of objects is needed")


def _span(entry: object, length: int) -> Span:
    if not isinstance(entry, dict):
        raise RowError(_BAD, f"a span is {entry!r}; an object with start and end is needed")
    # A misspelt key would silently lose the fact or the concepts.
    if unknown := sorted(map(str, entry.keys() - _KEYS)):
        raise RowError(_BAD, f"a span has the key {unknown[0]!r}; allowed: {', '.join(sorted(_KEYS))}")
    start, end = _places((entry.get("start"), entry.get("end")), length)
    fact, concepts = entry.get("fact"), _concepts(entry.get("concepts"))
    if fact is not None and not isinstance(fact, str | int):
        raise RowError(_BAD, f"a span's fact is a {type(fact).__name__}; text is needed")
    return Span(start, end, clean(fact), concepts, _clause(entry.get("clause"), (start, end), length))


def _places(pair: Sequence[object], length: int) -> tuple[int, int]:
    whole = [place for place in pair if isinstance(place, int) and not isinstance(place, bool)]
    if len(whole) != 2 or not 0 <= whole[0] < whole[1] <= length:
        said = f"from {pair[0]!r} to {pair[1]!r}" if len(pair) == 2 else repr(list(pair))
        raise RowError(_BAD, f"a span goes {said}; two whole numbers from 0 to {length}, the first lower, are needed")
    return whole[0], whole[1]


def _clause(value: object, inner: tuple[int, int], length: int) -> tuple[int, int] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise RowError(_BAD, f"a span's clause is a {type(value).__name__}; [start, end] is needed")
    start, end = _places(value, length)
    if start > inner[0] or inner[1] > end:
        raise RowError(_BAD, f"the clause {start} to {end} does not hold its span, {inner[0]} to {inner[1]}")
    return start, end


def _concepts(value: object) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else clean(value).split("|")
    if isinstance(value, dict) or not all(isinstance(one, str) for one in listed):
        raise RowError(_BAD, f"a span's concepts are {value!r}; a list of ids is needed")
    return tuple(dict.fromkeys(filter(None, map(clean, listed))))


def _moved(spans: Sequence[Span], text: str) -> tuple[Span, ...]:
    """Return the spans with their places in the cleaned text."""
    places = sorted({place for span in spans for place in (span.start, span.end, *(span.clause or ()))})
    # Cleaned piece by piece, so that the lengths say where each place has moved to.
    pieces = [_normal(text[start:end]) for start, end in pairwise((0, *places, len(text)))]
    whole = _normal(text)
    # A place between a letter and its combining accent has none in the composed text.
    if "".join(pieces) != whole:
        raise RowError(
            _BAD, "a span begins or ends inside of a character: between a letter and its accent, or CR and LF"
        )
    lead, length = len(whole) - len(whole.lstrip()), len(whole.strip())
    moved = [min(max(place - lead, 0), length) for place in accumulate(len(piece) for piece in pieces[:-1])]
    new = dict(zip(places, moved, strict=True))
    return tuple(
        Span(
            new[span.start],
            new[span.end],
            span.fact,
            span.concepts,
            span.clause and (new[span.clause[0]], new[span.clause[1]]),
        )
        for span in spans
    )


def _shown(span: Span) -> str:
    return f"{span.start} to {span.end}"
