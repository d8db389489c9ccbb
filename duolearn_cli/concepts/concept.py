"""One node of a concept hierarchy, and the four levels (method.md section 2, our definition)."""

from __future__ import annotations

from dataclasses import dataclass, field

LEVELS = {1: "foundation", 2: "clinical core", 3: "specialty", 4: "focused"}


@dataclass(frozen=True, slots=True)
class Concept:
    """One node. `subjects` are data set labels that it stands for: ``Surgery`` or ``Psychiatry/Anxiety``.

    `row` is the line of the file that it was read from, 0 where there is none; it is not part of what a concept is.
    """

    id: str
    level: int
    name: str
    parents: tuple[str, ...] = ()
    synonyms: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    row: int = field(default=0, compare=False, repr=False)

    @property
    def terms(self) -> tuple[str, ...]:
        return (self.name, *self.synonyms)
