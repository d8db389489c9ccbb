"""Documents without questions: what they mention becomes facts, in items and spans alike."""

from __future__ import annotations

import pytest

from duolearn_cli.concepts.concept import Concept
from duolearn_cli.concepts.hierarchy import Hierarchy
from duolearn_cli.data.asked_documents import with_probes
from duolearn_cli.data.documents import Document
from duolearn_cli.data.items import Loaded
from duolearn_cli.errors import DataError

HIERARCHY = Hierarchy(
    [
        Concept("illness", 3, "illness"),
        *(Concept(name, 4, name, ("illness",)) for name in ("asthma", "gout", "psoriasis")),
    ]
)


def note(patient: str, value: str) -> Document:
    text = f"The patient came to the clinic on foot this morning, and has lived with {value} for years. All was well."
    return Document(f"n-{patient}", text, patient, "2024-01-01")


def test_a_mention_is_one_fact_in_items_and_in_spans():
    loaded = with_probes(Loaded((), documents=(note("ann", "asthma"), note("bob", "gout"))), HIERARCHY, seed=0)
    assert [(item.fact, item.answer_text, item.patient, item.continues) for item in loaded.items] == [
        ("ann:asthma", "asthma", "ann", True),
        ("bob:gout", "gout", "bob", True),
    ]
    assert [span.fact for document in loaded.documents for span in document.spans] == ["ann:asthma", "bob:gout"]
    assert loaded.items[0].question.endswith("has lived with")
    assert "2 documents have no questions: 2 are made" in loaded.notes[-1]


def test_documents_that_cannot_be_asked_for_are_refused():
    with pytest.raises(DataError, match="none of the 1 documents can be asked for"):
        with_probes(Loaded((), documents=(note("ann", "asthma"),)), HIERARCHY, seed=0)
