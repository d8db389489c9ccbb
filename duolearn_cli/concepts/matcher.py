"""Concept mentions in text: longest match over names and synonyms, whole words only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from duolearn_cli.concepts.context import Context
from duolearn_cli.concepts.folding import Folded, fold, fold_mapped
from duolearn_cli.concepts.hierarchy import Hierarchy
from duolearn_cli.concepts.variants import variants

# Counts up whenever a text may have other mentions than before, so that labels on disk are found anew.
VERSION = 3


@dataclass(frozen=True, slots=True)
class Mention:
    """Characters ``text[start:end]`` name `concept`."""

    start: int
    end: int
    concept: str


@dataclass(frozen=True, slots=True)
class Sense:
    """`term`, or one of its variants, names `concept` where `context` holds."""

    term: str
    concept: str
    context: Context

    def distance(self, folded: Folded, start: int, end: int) -> int | None:
        """How far the word that tells is from ``folded.text[start:end]``; None: the sense does not hold there."""
        if self.context.cased and self.term not in folded.source[folded.origins[start] : folded.origins[end]]:
            return None
        return self.context.distance(folded.text, start, end)


class Matcher:
    """Finds the concepts of a hierarchy in text. It learns its terms at the first text."""

    def __init__(self, hierarchy: Hierarchy) -> None:
        self._hierarchy = hierarchy

    @cached_property
    def _automaton(self) -> tuple[Any, list[str | None], list[Sequence[Sense]]]:
        """The automaton over all forms, and for each form the concept that it always names and its other senses."""
        from ahocorasick_rs import AhoCorasick  # compiled; kept off the path of --help

        owner, ambiguous = self._forms(), senses(self._hierarchy)
        every = list(dict.fromkeys([*owner, *ambiguous]))
        return AhoCorasick(every), [owner.get(form) for form in every], [ambiguous.get(form, ()) for form in every]

    def _forms(self) -> dict[str, str]:
        return forms(self._hierarchy)

    def find(self, text: str) -> tuple[Mention, ...]:
        """Return the mentions in `text`, left to right, without overlap, the longest first at each place.

        An ambiguous form has the sense whose telling word is nearest, else the concept that it always names, else none.
        """
        automaton, concepts, ambiguous = self._automaton
        folded = fold_mapped(text)
        found = automaton.find_matches_as_indexes(folded.text, overlapping=True)
        mentions: list[Mention] = []
        free = 0
        for start, negative_end, pattern in sorted((start, -end, pattern) for pattern, start, end in found):
            end = -negative_end
            if start >= free and folded.is_border(start) and folded.is_border(end):
                concept = concepts[pattern]
                if ambiguous[pattern]:
                    concept = _nearest_sense(ambiguous[pattern], folded, start, end) or concept
                if concept is not None:
                    free = end
                    mentions.append(Mention(folded.origins[start], folded.origins[end], concept))
        return tuple(mentions)

    def concepts(self, texts: Iterable[str]) -> tuple[str, ...]:
        """Return the distinct concepts mentioned in `texts`, in order of first mention."""
        return tuple(dict.fromkeys(mention.concept for text in texts for mention in self.find(text)))


def forms(hierarchy: Hierarchy) -> dict[str, str]:
    """Return the concept of every folded form of a term without a context.

    A concept's own terms come before the variants of another's.
    """
    terms = [(concept.id, term) for concept in hierarchy.concepts.values() for term in concept.plain_terms]
    owner: dict[str, str] = {}
    for concept, term in terms:
        owner.setdefault(fold(term).strip(" -"), concept)
    for concept, term in terms:
        for form in sorted(variants(term)):
            owner.setdefault(form, concept)
    owner.pop("", None)
    return owner


def senses(hierarchy: Hierarchy) -> dict[str, tuple[Sense, ...]]:
    """Return the senses of every folded form of the terms that have a context, in the hierarchy's order."""
    found: dict[str, tuple[Sense, ...]] = {}
    for concept in hierarchy.concepts.values():
        for term, context in concept.contexts:
            for form in {fold(term).strip(" -"), *variants(term)} - {""}:
                found[form] = (*found.get(form, ()), Sense(term, concept.id, context))
    return found


def _nearest_sense(candidates: Sequence[Sense], folded: Folded, start: int, end: int) -> str | None:
    """The concept of the sense that holds at ``folded.text[start:end]`` and whose telling word is nearest."""
    distances = [(sense.distance(folded, start, end), sense.concept) for sense in candidates]
    held = [(distance, concept) for distance, concept in distances if distance is not None]
    return min(held, key=lambda pair: pair[0])[1] if held else None
