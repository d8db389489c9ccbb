"""One node of a concept hierarchy, and the four levels (method.md section 2, our definition)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from duolearn_cli.concepts.context import Context

LEVELS = {1: "foundation", 2: "clinical core", 3: "specialty", 4: "focused"}


@dataclass(frozen=True, slots=True)
class Concept:
    """One node. `subjects` are data set labels that it stands for: ``Surgery`` or ``Psychiatry/Anxiety``.

    `contexts` say when an ambiguous term names this concept, by term; a term without one always does.
    `row` is the line of the file that it was read from, 0 where there is none; it is not part of what a concept is.
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
        return (self.name, *self.synonyms)

    def context(self, term: str) -> Context | None:
        """When `term` names this concept; None: always."""
        return next((context for marked, context in self.contexts if marked == term), None)

    @property
    def plain_terms(self) -> Sequence[str]:
        """The terms without a context."""
        return [term for term in self.terms if self.context(term) is None] if self.contexts else self.terms
