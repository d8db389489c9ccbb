"""Check the raw fields of a document and turn them into one, or into a rejected row with the reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from duolearn_cli.data.cleaning import UNUSABLE, clean, fold
from duolearn_cli.data.documents import Document
from duolearn_cli.data.items import Loaded, Rejected, accepted
from duolearn_cli.data.marks import odd_marks
from duolearn_cli.data.readers.checks import content_id, exact_day
from duolearn_cli.data.readers.fills import label
from duolearn_cli.data.readers.raw import RowError
from duolearn_cli.data.readers.row_notes import Notes
from duolearn_cli.data.readers.spans import clean_text, read_spans

_CONTAINERS = (list, dict, tuple, set, bytes)
MIN_WORDS = 5


@dataclass(frozen=True, slots=True)
class RawDocument:
    """The unchecked fields of one document. See `Document`, and `read_spans` for `spans`."""

    source: str
    row: int
    id: object
    text: object
    patient: object = None
    date: object = None
    subject: object = None
    spans: object = None


def read_documents(
    rows: Iterable[RawDocument | Rejected], policy: str, min_words: int, notes: Notes | None = None
) -> Loaded:
    """Check every row. `notes` may hold what the reader itself has to say about them.

    Args:
        rows: the raw documents, and rows that are already rejected.
        policy: what to do with a bad row: ``error`` or ``skip``.
        min_words: documents with fewer words are rejected.

    Raises:
        DataError, ConfigError: see `accepted`.
    """
    notes = notes if notes is not None else Notes()
    built = (build_document(row, min_words, notes) if isinstance(row, RawDocument) else row for row in rows)
    documents, rejected = accepted(built, policy)
    _note_copies(documents, notes)
    return Loaded((), tuple(rejected), notes.sentences(), policy, tuple(documents))


def build_document(raw: RawDocument, min_words: int, notes: Notes) -> Document | Rejected:
    """Check `raw` and return a document, or a rejected row with the first check that failed."""
    name = None if isinstance(raw.id, _CONTAINERS) else clean(raw.id) or None
    try:
        _check_types(raw)
        text = _text(raw.text, min_words)
        spans = read_spans(raw.spans, str(raw.text))
    except RowError as bad:
        return Rejected(raw.source, raw.row, name, bad.reason, bad.detail)
    for mark in odd_marks(text):
        notes.add(f"documents contain {mark}: they are read unchanged", raw.row)
    patient, day = clean(raw.patient) or None, exact_day(raw.date, raw.row, notes)
    return Document(
        # The same text about two patients, or of two days, is two documents.
        id=name or content_id(text, (patient, day)),
        text=text,
        patient=patient,
        date=day,
        subject=clean(label(raw.subject)) or None,
        spans=spans,
        source=raw.source,
        row=raw.row,
    )


def _check_types(raw: RawDocument) -> None:
    for field, value in {"id": raw.id, "patient": raw.patient, "date": raw.date, "subject": raw.subject}.items():
        if isinstance(value, _CONTAINERS):
            raise RowError("malformed_row", f"{field} is a {type(value).__name__}; text is needed")
        if isinstance(value, str) and UNUSABLE.search(value):
            raise RowError("malformed_row", f"{field} contains a NUL or a lone surrogate: {value[:40]!r}")


def _text(value: object, min_words: int) -> str:
    # A number in place of a text is a wrong column more often than a text of one number.
    if value is not None and clean(value) and not isinstance(value, str):
        raise RowError("malformed_row", f"text is a {type(value).__name__}; text is needed")
    text = clean_text(value) if isinstance(value, str) else ""
    if not text:
        raise RowError("empty_text", "the document has no text")
    if UNUSABLE.search(text):
        raise RowError("malformed_row", "text contains a NUL or a lone surrogate")
    if (words := len(text.split())) < min_words:
        raise RowError("too_short", f"the text has {words} words; dataset.min_words={min_words}")
    return text


def _note_copies(documents: Iterable[Document], notes: Notes) -> None:
    seen: set[str] = set()
    for document in documents:
        text = fold(document.text)
        if text in seen:
            notes.add("a document repeats the text of an earlier one under another id", document.row)
        seen.add(text)
