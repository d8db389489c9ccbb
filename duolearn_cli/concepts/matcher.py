"""Find mentions of concepts in text: the longest match over names and synonyms, whole words only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from duolearn_cli.concepts.context import Context
from duolearn_cli.concepts.folding import Folded, fold, fold_mapped
from duolearn_cli.concepts.hierarchy import Hierarchy
from duolearn_cli.concepts.variants import variants

# Count this up whenever a text may get other mentions than before: the hash of cached mentions contains it.
VERSION = 3


@dataclass(frozen=True, slots=True)
class Mention:
    """The characters ``text[start:end]`` name the concept with the id `concept`."""

    start: int
    end: int
    concept: str


@dataclass(frozen=True, slots=True)
class Sense:
    """One meaning of an ambiguous term: `term`, or a variant of it, names `concept` where `context` holds."""

    term: str
    concept: str
    context: Context

    def distance(self, folded: Folded, start: int, end: int) -> int | None:
        """Return the number of characters from ``folded.text[start:end]`` to the nearest word of the context.

        None means that the sense does not hold there.
        """
        if self.context.cased and self.term not in folded.source[folded.origins[start] : folded.origins[end]]:
            return None
        return self.context.distance(folded.text, start, end)


class Matcher:
    """Finds mentions of a hierarchy's concepts. It builds its search automaton when it gets the first text."""

    def __init__(self, hierarchy: Hierarchy) -> None:
        self._hierarchy = hierarchy

    @cached_property
    def _automaton(self) -> tuple[Any, list[str | None], list[Sequence[Sense]]]:
        """The automaton over all forms; for each form its plain concept or None; for each form its senses."""
        from ahocorasick_rs import AhoCorasick  # a compiled library, which --help must not wait for

        owner, ambiguous = self._forms(), senses(self._hierarchy)
        every = list(dict.fromkeys([*owner, *ambiguous]))
        return AhoCorasick(every), [owner.get(form) for form in every], [ambiguous.get(form, ()) for form in every]

    def _forms(self) -> dict[str, str]:
        return forms(self._hierarchy)

    def find(self, text: str) -> tuple[Mention, ...]:
        """Return the mentions in `text`, left to right and without overlap. At each place the longest one wins.

        An ambiguous form takes the sense whose context word is nearest. Without one it takes the concept that has the
        term without a context; without that the form is no mention.
        """
        automaton, concepts, ambiguous = self._automaton
        folded = fold_mapped(text)
        # All overlapping matches, not the library's leftmost-longest ones: a longer match may end inside a word, or
        # have no sense here, and then a shorter one counts.
        matches = automaton.find_matches_as_indexes(folded.text, overlapping=True)
        mentions: list[Mention] = []
        free = 0  # the first character after the last mention
        for start, negative_end, pattern in sorted((start, -end, pattern) for pattern, start, end in matches):
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
        """Return the ids of the concepts mentioned in `texts`, each once, in order of first mention."""
        return tuple(dict.fromkeys(mention.concept for text in texts for mention in self.find(text)))


def forms(hierarchy: Hierarchy) -> dict[str, str]:
    """Return {folded form: concept id} for all terms without a context and their variants.

    If two concepts share a form, the one that has it as a term wins over one that has it as a variant, and then the
    first in the hierarchy's order wins.
    """
    terms = [(concept.id, term) for concept in hierarchy.concepts.values() for term in concept.plain_terms]
    owner: dict[str, str] = {}
    for concept, term in terms:
        owner.setdefault(fold(term).strip(" -"), concept)
    for concept, term in terms:
        for form in sorted(variants(term)):
            owner.setdefault(form, concept)
    owner.pop("", None)  # a term of dashes alone folds to nothing, and nothing would match everywhere
    return owner


def senses(hierarchy: Hierarchy) -> dict[str, tuple[Sense, ...]]:
    """Return {folded form: senses} for all terms with a context and their variants, in the hierarchy's order."""
    by_form: dict[str, tuple[Sense, ...]] = {}
    for concept in hierarchy.concepts.values():
        for term, context in concept.contexts:
            for form in {fold(term).strip(" -"), *variants(term)} - {""}:
                by_form[form] = (*by_form.get(form, ()), Sense(term, concept.id, context))
    return by_form


def _nearest_sense(candidates: Sequence[Sense], folded: Folded, start: int, end: int) -> str | None:
    """Return the concept of the sense that holds at ``folded.text[start:end]`` and whose context word is nearest."""
    distances = [(sense.distance(folded, start, end), sense.concept) for sense in candidates]
    fitting = [(distance, concept) for distance, concept in distances if distance is not None]
    # By distance alone: on a tie the sense that comes first in the hierarchy wins.
    return min(fitting, key=lambda pair: pair[0])[1] if fitting else None
