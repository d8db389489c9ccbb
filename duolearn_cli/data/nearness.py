"""How near a kept fact is to what is forgotten: what it shares with a forgotten one."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from duolearn_cli.data.document_sides import MarkedDocument, sentences
from duolearn_cli.data.items import Item

# What a token of a document belongs to, from what is forgotten on.
PARTS = ("forgotten", "same_sentence", "same_note", "kin", "rest")
# Of kept facts, from the nearest on. A fact belongs to the first group that holds.
GROUPS = ("same_sentence", "same_note", "same_patient", "neighbour", "same_attribute", "rest")


def nearness(kept: Sequence[Item], forgotten: Sequence[Item], documents: Sequence[MarkedDocument]) -> dict[str, str]:
    """Return the group of each kept fact, by fact id (our definition).

    same_sentence, same_note: some document states it in a sentence, or at all, together with something forgotten.
    same_patient: it is about a patient of whom something is forgotten.
    neighbour: another patient has the same value of the same attribute (`Item.topic`) as a forgotten fact.
    same_attribute: it is of the attribute of a forgotten fact.
    rest: none of these.
    """
    by_sentence, by_note = _shared(documents)
    patients = {item.patient for item in forgotten if item.patient}
    values = {(item.topic, item.answer_text) for item in forgotten if item.topic}
    attributes = {item.topic for item in forgotten if item.topic}

    def group(item: Item) -> str:
        if item.fact_id in by_sentence:
            return "same_sentence"
        if item.fact_id in by_note:
            return "same_note"
        if item.patient and item.patient in patients:
            return "same_patient"
        if (item.topic, item.answer_text) in values:
            return "neighbour"
        return "same_attribute" if item.topic in attributes else "rest"

    return {item.fact_id: group(item) for item in kept}


def _shared(documents: Sequence[MarkedDocument]) -> tuple[Collection[str], Collection[str]]:
    """Return the kept facts that share a sentence, and those that share a document, with something forgotten."""
    by_sentence, by_note = set[str](), set[str]()
    for one in documents:
        if not one.forgotten:
            continue
        kept = [span for span in one.spans if span.fact and span not in one.forgotten]
        by_note |= {span.fact for span in kept}
        for start, end in sentences(one.document.text):
            if any(start <= span.start < end for span in one.forgotten):
                by_sentence |= {span.fact for span in kept if start <= span.start < end}
    return by_sentence, by_note
