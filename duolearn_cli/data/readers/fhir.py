"""FHIR DiagnosticReport and DocumentReference resources, one a line (NDJSON), as documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from duolearn_cli.config.settings import setting
from duolearn_cli.data.cleaning import clean, fold
from duolearn_cli.data.items import BAD_ROW_POLICIES, Loaded, Rejected
from duolearn_cli.data.readers.document_rows import MIN_WORDS, RawDocument, read_documents
from duolearn_cli.data.readers.fhir_text import attached, listed, narrative
from duolearn_cli.data.readers.raw import RowError
from duolearn_cli.data.readers.row import Entry, Row
from duolearn_cli.data.readers.row_notes import Notes
from duolearn_cli.data.readers.tabular import rows
from duolearn_cli.errors import DataError

TYPES = ("DiagnosticReport", "DocumentReference")


@dataclass
class FhirNotes:
    """Reports and documents as FHIR servers export them: one resource a line, or a Bundle."""

    path: str | None = setting(None, "NDJSON file of DiagnosticReport or DocumentReference resources")
    min_words: int = setting(MIN_WORDS, "shorter documents are rejected", minimum=1)
    on_bad_row: str = setting("skip", "stop at a bad row, or leave it out", choices=BAD_ROW_POLICIES)
    encoding: str = setting("utf-8", "encoding of the file")

    def load(self) -> Loaded:
        """Read and check the resources. Those of other types are left out with a note.

        Raises:
            DataError: there is no path, the file holds no such resource, or it cannot be used.
        """
        if not self.path:
            raise DataError("dataset.path is not set: give an NDJSON file of FHIR resources, dataset.path=FILE.ndjson.")
        notes = Notes()
        raws = list(_raws(self.path, _resources(rows(self.path, encoding=self.encoding)), notes))
        if not raws:
            raise DataError(f"{self.path}: no resource of the type {' or '.join(TYPES)}. Export these types.")
        return read_documents(raws, self.on_bad_row, self.min_words, notes)


def _resources(entries: Iterator[Entry]) -> Iterator[Entry]:
    """Yield the resources, those in Bundles too."""
    for entry in entries:
        if isinstance(entry, Row) and entry.values.get("resourceType") == "Bundle":
            held = (one.get("resource") for one in listed(entry.values.get("entry")))
            yield from (Row(number, one) for number, one in enumerate(held, start=1) if isinstance(one, dict))
        else:
            yield entry


def _raws(path: str, entries: Iterator[Entry], notes: Notes) -> Iterator[RawDocument | Rejected]:
    for entry in entries:
        if isinstance(entry, Rejected):
            yield entry
        elif (kind := entry.values.get("resourceType")) not in TYPES:
            notes.add(f"resources of the type {kind!r} are left out: they hold no report", entry.number)
        else:
            yield _raw(path, entry, notes)


def _raw(path: str, row: Row, notes: Notes) -> RawDocument | Rejected:
    resource = row.values
    try:
        # FHIR keeps such resources so that nobody takes them for true.
        if resource.get("status") == "entered-in-error":
            raise RowError("entered_in_error", "its status is entered-in-error")
        text = _text(resource)
    except RowError as bad:
        return Rejected(path, row.number, clean(resource.get("id")) or None, bad.reason, bad.detail)
    day = next((resource[key] for key in ("effectiveDateTime", "date", "issued") if resource.get(key)), None)
    kind = "code" if resource["resourceType"] == "DiagnosticReport" else "type"
    patient = _patient(resource.get("subject"), row.number, notes)
    return RawDocument(path, row.number, resource.get("id"), text, patient, day, _concept(resource.get(kind)))


def _text(resource: Mapping[str, Any]) -> str:
    """Return the attached texts, or else the narrative, and the conclusion if these do not hold it already.

    Raises:
        RowError: there is no text, or an attached one cannot be read.
    """
    attachments = [one.get("attachment") for one in listed(resource.get("content"))]
    own, skipped = attached([*listed(resource.get("presentedForm")), *listed(attachments)])
    # Servers often generate the narrative from the attachment: both would be the same text twice.
    texts = own or narrative(resource.get("text"))
    conclusion = resource.get("conclusion")
    if isinstance(conclusion, str) and fold(conclusion) not in fold(" ".join(texts)):
        texts = [*texts, conclusion]
    if not texts:
        held = f": it is attached as {', '.join(skipped)}" if skipped else ""
        raise RowError("empty_text", f"the resource has no plain text{held}")
    return "\n\n".join(texts)


def _patient(subject: object, row: int, notes: Notes) -> str | None:
    """Return the id behind ``Patient/``, or the whole reference if it names a server or is a URN.

    A version at its end does not count. Without a reference it is the value of the identifier.
    """
    if not isinstance(subject, Mapping):
        return None
    name = clean(subject.get("reference")).partition("/_history/")[0]
    identifier = subject.get("identifier")
    if not name and isinstance(identifier, Mapping):
        return clean(identifier.get("value")) or None
    # The number alone would join two people with the same number on two servers.
    kind, _, own = name.partition("/")
    if kind in ("Group", "Device", "Location"):
        notes.add(f"reports about a {kind} have no patient", row)
        return None
    return own if kind == "Patient" else name or None


def _concept(value: object) -> str | None:
    """Return the text of a CodeableConcept, or the first name of its codes."""
    if not isinstance(value, Mapping):
        return None
    names = (clean(coding.get("display")) for coding in listed(value.get("coding")))
    return clean(value.get("text")) or next(filter(None, names), None)
