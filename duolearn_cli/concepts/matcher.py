"""Concept mentions in text: longest match over names and synonyms, whole words only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from duolearn_cli.concepts.folding import fold, fold_mapped
from duolearn_cli.concepts.variants import variants

if TYPE_CHECKING:  # the hierarchy's validation folds terms as the matcher does
    from duolearn_cli.concepts.hierarchy import Hierarchy

# Counts up whenever a text may have other mentions than before, so that labels on disk are found anew.
VERSION = 2


@dataclass(frozen=True, slots=True)
class Mention:
    """Characters ``text[start:end]`` name `concept`."""

    start: int
    end: int
    concept: str


class Matcher:
    """Finds the concepts of a hierarchy in text. It learns its terms at the first text."""

    def __init__(self, hierarchy: Hierarchy) -> None:
        self._hierarchy = hierarchy

    @cached_property
    def _automaton(self) -> tuple[Any, list[str]]:
        """The automaton over all forms, and the concept of each form."""
        from ahocorasick_rs import AhoCorasick  # compiled; kept off the path of --help

        owner = self._forms()
        return AhoCorasick(list(owner)), list(owner.values())

    def _forms(self) -> dict[str, str]:
        return forms(self._hierarchy)

    def find(self, text: str) -> tuple[Mention, ...]:
        """Return the mentions in `text`, left to right, without overlap, the longest first at each place."""
        automaton, concepts = self._automaton
        folded = fold_mapped(text)
        found = automaton.find_matches_as_indexes(folded.text, overlapping=True)
        mentions: list[Mention] = []
        free = 0
        for start, negative_end, pattern in sorted((start, -end, pattern) for pattern, start, end in found):
            if start >= free and folded.is_border(start) and folded.is_border(-negative_end):
                free = -negative_end
                mentions.append(Mention(folded.origins[start], folded.origins[free], concepts[pattern]))
        return tuple(mentions)

    def concepts(self, texts: Iterable[str]) -> tuple[str, ...]:
        """Return the distinct concepts mentioned in `texts`, in order of first mention."""
        return tuple(dict.fromkeys(mention.concept for text in texts for mention in self.find(text)))


def forms(hierarchy: Hierarchy) -> dict[str, str]:
    """Return the concept of every folded form. A concept's own terms come before the variants of another's."""
    terms = [(concept.id, term) for concept in hierarchy.concepts.values() for term in concept.terms]
    owner: dict[str, str] = {}
    for concept, term in terms:
        owner.setdefault(fold(term).strip(" -"), concept)
    for concept, term in terms:
        for form in sorted(variants(term)):
            owner.setdefault(form, concept)
    owner.pop("", None)
    return owner
