"""Made-up patients: who they are and what is true of them. Nobody in here exists."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

FOLDER = Path(__file__).parent / "mininotes"
# Whose names: the patients of the data set, or those from whom the base model learned how to look a fact up.
SHIPPED, TAUGHT = "shipped", "taught"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One thing that notes state about every patient, such as the operation, and the ways to write it.

    kind: the kind of fact, a concept of the hierarchy, as the attribute itself is one.
    values: what it may be. The concept of a value is `concept_of` it.
    clauses, adjuncts, line: wordings with ``{v}`` (see kinds.yaml).
    train, heldout: questions with ``{name}``.
    """

    name: str
    kind: str
    subject: str
    values: tuple[str, ...]
    clauses: tuple[str, ...]
    adjuncts: tuple[str, ...]
    line: str
    train: tuple[str, ...]
    heldout: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Patient:
    """One made-up patient. `values` maps the name of each attribute to its value."""

    id: str
    first: str
    last: str
    is_woman: bool
    values: Mapping[str, str]

    @property
    def name(self) -> str:
        return f"{self.first} {self.last}"


@lru_cache
def table(name: str) -> Any:
    """Return the content of a YAML file beside the notes' wordings."""
    import yaml

    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@lru_cache
def attributes() -> tuple[Attribute, ...]:
    """Return all attributes, in the order of kinds.yaml."""
    return tuple(_attribute(kind, row) for kind in table("kinds")["kinds"] for row in kind["attributes"])


def _attribute(kind: Mapping[str, Any], row: Mapping[str, Any]) -> Attribute:
    lists = {key: tuple(row[key]) for key in ("values", "clauses", "adjuncts", "train", "heldout")}
    return Attribute(row["attribute"], kind["kind"], kind["subject"], line=row["line"], **lists)


def kinds() -> tuple[str, ...]:
    """Return the kinds of facts."""
    return tuple(dict.fromkeys(attribute.kind for attribute in attributes()))


def concept_of(value: str) -> str:
    """Return the id of a value's concept in mininotes.tsv."""
    return value.replace(" ", "_").replace("-", "_")


def patients(count: int, seed: int, names: str = SHIPPED) -> tuple[Patient, ...]:
    """Return the first `count` patients of a seed; a larger number adds patients and changes none.

    Values are dealt like cards, each attribute from packs of its own: every value is about equally frequent, and no
    attribute says anything about another. Full names are unique; the two names of the first 360 are, too.
    """
    dealt = {attribute.name: _dealt(attribute.values, f"{seed}:{attribute.name}") for attribute in attributes()}
    return tuple(
        Patient(f"p{number:03}", first, last, is_woman, {name: next(values) for name, values in dealt.items()})
        for number, (first, last), is_woman in zip(
            range(1, count + 1), _names(names, seed), _dealt((True, False), f"{seed}:sex"), strict=False
        )
    )


def _dealt(values: Sequence[T], seed: str) -> Iterator[T]:
    """Yield values without end: shuffled packs, each with every value once."""
    generator = random.Random(seed)
    while True:
        yield from generator.sample(values, len(values))


@lru_cache
def name_list(which: str, part: str) -> tuple[str, ...]:
    """Return all ``first`` or ``last`` names of a list, in a fixed order. No name is in both lists."""
    starts, ends = table("names")[part]
    every = [start + end for start in starts for end in ends]
    random.Random(f"mininotes:{part}").shuffle(every)
    return tuple(every[(0 if which == SHIPPED else 1) :: 2])


def _names(which: str, seed: int) -> Iterator[tuple[str, str]]:
    """Yield all pairs of a first and a last name of a list, so that no name comes back before all have been used."""
    generator = random.Random(f"{seed}:names")
    firsts, lasts = (generator.sample(own, len(own)) for own in (name_list(which, "first"), name_list(which, "last")))
    for turn in range(len(lasts)):
        for place, first in enumerate(firsts):
            yield first, lasts[(place + turn) % len(lasts)]
