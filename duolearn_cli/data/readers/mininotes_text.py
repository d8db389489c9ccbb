"""The notes about made-up patients: which facts each of them states, and how it is written.

A note is a row of parts. A part that states a fact can be removed whatever else is removed: it is a sentence, a line of
a list, or what follows a sentence that states no fact ("She slept well, allergic to latex; her daily dose is 5 mg.").
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from duolearn_cli.data.documents import Document, Span
from duolearn_cli.data.readers.mininotes_world import Attribute, Patient, attributes, concept_of, kinds, table

NUM_NOTES = 3
TWO_OF_THREE, ALL = "two_of_three", "all"
# The share of facts that stand in one sentence with a fact of another kind.
JOINED = 0.6
IN_LIST = 0.4  # of the other facts, where a style has a list
FIRST_DAY, LAST_DAY, LONGEST_GAP = date(2021, 1, 4), date(2023, 6, 30), 200  # of a patient's first note; days


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a note. If it states a fact, its value begins at character `at`."""

    text: str
    attribute: Attribute | None = None
    at: int = 0


def notes(patient: Patient, seed: int, redundancy: str) -> tuple[Document, ...]:
    """Return the patient's three notes, by date. `redundancy`: each kind of fact in two of them, or in all."""
    generator = random.Random(f"{seed}:{patient.id}:notes")
    styles = generator.sample(table("styles")["styles"], NUM_NOTES)
    missing = _missing(styles, generator) if redundancy == TWO_OF_THREE else [()] * NUM_NOTES
    day = FIRST_DAY + timedelta(generator.randrange((LAST_DAY - FIRST_DAY).days))
    documents = []
    for number, (style, without) in enumerate(zip(styles, missing, strict=True), 1):
        stated = [attribute for attribute in attributes() if attribute.kind not in without]
        parts = list(_Writer(patient, style, generator).parts(stated, day))
        documents.append(_document(f"{patient.id}-note{number}", parts, patient, style["style"], day))
        day += timedelta(generator.randint(1, LONGEST_GAP))
    return tuple(documents)


def _missing(styles: Sequence[Mapping[str, Any]], generator: random.Random) -> list[tuple[str, ...]]:
    """Deal the kinds out to the notes that do not have them. No note lacks the kind at home in its style."""
    every = list(kinds())
    each = len(every) // len(styles)
    while True:
        generator.shuffle(every)
        dealt = [tuple(every[place * each : (place + 1) * each]) for place in range(len(styles))]
        if all(style["home"] not in kinds_left_out for style, kinds_left_out in zip(styles, dealt, strict=True)):
            return dealt


def _document(name: str, parts: Sequence[Part], patient: Patient, style: str, day: date) -> Document:
    spans, end = [], 0
    for part in parts:
        start, end = end, end + len(part.text)
        if part.attribute is not None:
            value = patient.values[part.attribute.name]
            first = start + part.at
            fact, concepts = f"{patient.id}:{part.attribute.name}", (concept_of(value),)
            spans.append(Span(first, first + len(value), fact, concepts, (start, end)))
    text = "".join(part.text for part in parts)
    return Document(name, text, patient.id, day.isoformat(), style, tuple(spans), "mininotes")


@dataclass(frozen=True)
class _Writer:
    """Writes one note of a style about a patient."""

    patient: Patient
    style: Mapping[str, Any]
    generator: random.Random

    def parts(self, stated: Sequence[Attribute], day: date) -> Iterator[Part]:
        """Yield the parts of the note, which states the facts of the attributes `stated`."""
        head = f"{self._one('title')}\nPatient: {self.patient.name}. Date: {day:%d %B %Y}.\n\n"
        yield Part(head + self._fill(self._one("openings")))
        joined, single = self._divide(stated)
        listed = [a for a in single if self.style["lists"] and self.generator.random() < IN_LIST]
        told = [self._sentence(a) for a in single if a not in listed]
        carriers = self.generator.sample(self.style["carriers"], min(len(joined), len(self.style["carriers"])))
        told += [self._joint(carriers[k % len(carriers)], group) for k, group in enumerate(joined)]
        told += [[Part(" " + self._fill(text))] for text in self.generator.sample(self.style["fillers"], 2)]
        self.generator.shuffle(told)
        for parts in told:
            yield from parts
        for place, attribute in enumerate(listed):
            yield self._part("\n" if place else "\n\n", attribute, attribute.line, ".")
        yield Part("\n\n" + self._fill(self._one("closings")))

    def _divide(self, stated: Sequence[Attribute]) -> tuple[list[list[Attribute]], list[Attribute]]:
        """Return groups of attributes of different kinds, which share a sentence, and those that stand alone."""
        order = self.generator.sample(stated, len(stated))
        to_join, groups = order[: round(JOINED * len(order))], []
        for attribute in to_join:
            size = self.generator.choice((2, 2, 3))
            open_groups = (g for g in groups if len(g) < size and all(a.kind != attribute.kind for a in g))
            group = next(open_groups, None)
            if group is None:
                groups.append([attribute])
            else:
                group.append(attribute)
        single = [group[0] for group in groups if len(group) == 1] + order[len(to_join) :]
        return [group for group in groups if len(group) > 1], single

    def _sentence(self, attribute: Attribute) -> list[Part]:
        return [self._part(" ", attribute, self.generator.choice(attribute.clauses), ".", begins=True)]

    def _joint(self, carrier: str, group: Sequence[Attribute]) -> list[Part]:
        """Write a sentence that states no fact and goes on with the facts of `group`: adjuncts, then clauses."""
        # An adjunct after a clause would seem to belong to it.
        adjuncts = group[: self.generator.randint(0, len(group))]
        parts = [Part(" " + _capital(self._fill(carrier)))]
        parts += [self._part(", ", a, self.generator.choice(a.adjuncts)) for a in adjuncts]
        for attribute in group[len(adjuncts) :]:
            link = self.generator.choice((", and ", "; "))
            parts.append(self._part(link, attribute, self.generator.choice(attribute.clauses)))
        return [*parts, Part(".")]

    def _part(self, link: str, attribute: Attribute, wording: str, end: str = "", begins: bool = False) -> Part:
        before, _, after = wording.partition("{v}")
        start = self._fill(before)
        lead = link + (_capital(start) if begins else start)
        return Part(f"{lead}{self.patient.values[attribute.name]}{self._fill(after)}{end}", attribute, len(lead))

    def _one(self, key: str) -> str:
        return self.generator.choice(self.style[key])

    def _fill(self, wording: str) -> str:
        """Fill in name and pronouns."""
        woman, title = self.patient.is_woman, f"{'Ms' if self.patient.is_woman else 'Mr'} {self.patient.last}"
        called = self.generator.choice((title, "she" if woman else "he"))
        return wording.format(
            name=self.patient.name,
            who=called,
            who2=title,
            her="her" if woman else "his",
            her2="her" if woman else "him",
        )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
