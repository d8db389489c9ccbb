"""A concept of the hierarchy and its four levels (our definition: the paper publishes no hierarchy)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from duolearn_cli.concepts.context import Context

LEVELS = {1: "foundation", 2: "clinical core", 3: "specialty", 4: "focused"}


@dataclass(frozen=True, slots=True)
class Concept:
    """One node of the hierarchy.

    `subjects` are the data set labels that mean this concept: ``Surgery`` or ``Psychiatry/Anxiety``.
    `contexts` are pairs of a term and the context in which it names this concept. A term without a context always
    names it.
    `row` is the line in the file, for messages; 0 if the concept comes from no file.
    """

    id: str
    level: int
    name: str
    parents: tuple[str, ...] = ()
    synonyms: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    contexts: tuple[tuple[str, Context], ...] = ()
    row: int = field(default=0, compare=False, repr=False)

    @property
    def terms(self) -> tuple[str, ...]:
        """The name, then the synonyms."""
        return (self.name, *self.synonyms)

    def context(self, term: str) -> Context | None:
        """Return the context in which `term` names this concept, or None if it always does."""
        return next((context for marked, context in self.contexts if marked == term), None)

    @property
    def plain_terms(self) -> Sequence[str]:
        """The terms without a context."""
        # Few concepts have a context, and every start walks through all of them: skip the search if there is none.
        return [term for term in self.terms if self.context(term) is None] if self.contexts else self.terms
