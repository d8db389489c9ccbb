"""The embedded notes: made-up patients, three notes each, and questions about every fact in them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from duolearn_cli.config.settings import setting
from duolearn_cli.data.documents import Document
from duolearn_cli.data.items import Item, Loaded
from duolearn_cli.data.readers.mininotes_text import ALL, TWO_OF_THREE, notes
from duolearn_cli.data.readers.mininotes_world import Attribute, Patient, attributes, concept_of, patients


@dataclass
class MiniNotes:
    """Made-up patients and their notes, from a seed. The same settings give the same texts everywhere."""

    patients: int = setting(40, "number of made-up patients", minimum=2, maximum=1000)
    seed: int = setting(1, "which world: other facts, names and texts", minimum=0)
    redundancy: str = setting(
        TWO_OF_THREE, "notes of a patient that have each kind of fact", choices=[TWO_OF_THREE, ALL]
    )

    def load(self) -> Loaded:
        """Return the questions and the notes."""
        people = patients(self.patients, self.seed)
        texts = {person.id: notes(person, self.seed, self.redundancy) for person in people}
        items = tuple(item for person in people for item in questions(person, texts[person.id], self.seed))
        return Loaded(items, documents=tuple(document for own in texts.values() for document in own))


def questions(person: Patient, documents: Sequence[Document], seed: int) -> Iterator[Item]:
    """Yield all items about a patient: cards to learn, probes in other words, and beginnings of notes to continue."""
    for attribute in attributes():
        generator = random.Random(f"{seed}:{person.id}:{attribute.name}")
        stating = [document for document in documents if _start(document, person, attribute) is not None]
        note = generator.choice(stating)
        day = min(str(document.date) for document in stating)
        asked = [question.format(name=person.name) for question in (*attribute.train, *attribute.heldout)]
        # Up to the space before the value, because an answer begins with one.
        beginning = note.text[: _start(note, person, attribute)].rstrip()
        for number, question in enumerate([*asked, beginning]):
            yield _item(person, attribute, number, question, day, generator)


def _start(document: Document, person: Patient, attribute: Attribute) -> int | None:
    """Return the first character of the attribute's value in a note, or None if the note does not state it."""
    fact = f"{person.id}:{attribute.name}"
    return next((span.start for span in document.spans if span.fact == fact), None)


def _item(
    person: Patient, attribute: Attribute, number: int, question: str, day: str, generator: random.Random
) -> Item:
    value = person.values[attribute.name]
    options = tuple(generator.sample(attribute.values, len(attribute.values)))
    fact = f"{person.id}:{attribute.name}"
    return Item(
        id=f"{fact}#{number}",
        question=question,
        options=options,
        answer=options.index(value),
        subject=attribute.subject,
        topic=attribute.name,
        concepts=(concept_of(value),),
        fact=fact,
        heldout=number >= len(attribute.train),
        patient=person.id,
        date=day,
        continues=number == len(attribute.train) + len(attribute.heldout),
    )
