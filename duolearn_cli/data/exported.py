"""Rows to write items and documents to files, in formats that readers of this package read back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from duolearn_cli.data.documents import Document
from duolearn_cli.data.items import Item


def item_row(item: Item) -> dict[str, Any]:
    """Return an item of any number of options. ``dataset=local`` reads it, with `answer` as index0."""
    # The fact is written even where it is the id, so that phrasings stay together.
    return {
        "id": item.id,
        "question": item.question,
        "options": list(item.options),
        "answer": item.answer,
        "subject": item.subject,
        "topic": item.topic,
        "explanation": item.explanation,
        "concepts": list(item.concepts),
        "fact": item.fact_id,
        "heldout": item.heldout,
        "patient": item.patient,
        "date": item.date,
    }


def document_row(document: Document) -> dict[str, Any]:
    """Return a document as ``dataset=notes`` reads it, each field in a column of its name."""
    spans = [{key: held for key, held in asdict(span).items() if held not in (None, "", ())} for span in document.spans]
    return {
        "id": document.id,
        "text": document.text,
        "patient": document.patient,
        "date": document.date,
        "subject": document.subject,
        "spans": spans,
    }
