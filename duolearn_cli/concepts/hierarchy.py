"""The concept hierarchy: a forest of medical concepts over four levels (method.md section 2, our definition)."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from duolearn_cli.errors import ConfigError, DataError, nearest

LEVELS = {1: "foundation", 2: "clinical core", 3: "specialty", 4: "focused"}
COLUMNS = ("id", "level", "parents", "name", "synonyms", "subjects")


@dataclass(frozen=True, slots=True)
class Concept:
    """One node. `subjects` are data set labels that it stands for: ``Surgery`` or ``Psychiatry/Anxiety``."""

    id: str
    level: int
    name: str
    parents: tuple[str, ...] = ()
    synonyms: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()

    @property
    def terms(self) -> tuple[str, ...]:
        return (self.name, *self.synonyms)


class Hierarchy:
    """Concepts by id, checked on construction.

    Raises:
        DataError: every problem found: unknown parents, cycles, a level above its parent's, terms of two concepts.
    """

    def __init__(self, concepts: Iterable[Concept], source: str = "hierarchy") -> None:
        self.concepts: dict[str, Concept] = {}
        problems: list[str] = []
        for concept in concepts:
            if concept.id in self.concepts:
                problems.append(f"id {concept.id!r} is used twice")
            self.concepts[concept.id] = concept
        problems += _problems(self.concepts)
        if problems:
            shown = "\n  ".join(problems[:20])
            raise DataError(f"{source}: {len(problems)} problems:\n  {shown}")

    def __len__(self) -> int:
        return len(self.concepts)

    def __getitem__(self, concept_id: str) -> Concept:
        return self.concepts[concept_id]

    @cached_property
    def _children(self) -> dict[str, list[str]]:
        children: dict[str, list[str]] = {}
        for concept in self.concepts.values():
            for parent in concept.parents:
                children.setdefault(parent, []).append(concept.id)
        return children

    def descendants(self, nodes: Iterable[str]) -> frozenset[str]:
        """Return `nodes` with everything below them."""
        return _closure(nodes, lambda node: self._children.get(node, ()))

    def ancestors(self, nodes: Iterable[str]) -> frozenset[str]:
        """Return `nodes` with everything above them."""
        return _closure(nodes, lambda node: self.concepts[node].parents)


def _closure(nodes: Iterable[str], step: Any) -> frozenset[str]:
    reached: set[str] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in reached:
            reached.add(node)
            waiting.extend(step(node))
    return frozenset(reached)


def _problems(concepts: dict[str, Concept]) -> Iterator[str]:
    owner: dict[str, str] = {}
    for concept in concepts.values():
        if concept.level not in LEVELS:
            yield f"{concept.id}: level {concept.level} is none of {list(LEVELS)}"
        for parent in concept.parents:
            if parent not in concepts:
                yield f"{concept.id}: unknown parent {parent!r}{nearest(parent, concepts)}"
            elif concepts[parent].level > concept.level:
                above = concepts[parent].level
                yield f"{concept.id}: level {concept.level} is above its parent {parent} (level {above})"
        for term in concept.terms:
            first = owner.setdefault(term.casefold(), concept.id)
            if first != concept.id:
                yield f"{concept.id}: the term {term!r} already belongs to {first}"
    try:
        TopologicalSorter({c.id: c.parents for c in concepts.values()}).prepare()
    except CycleError as error:
        yield "cycle: " + " > ".join(error.args[1])


def read_hierarchy(path: Path) -> Hierarchy:
    """Read a tab-separated file with the columns id, level, parents, name, synonyms, subjects.

    Lists are separated by ``|``. Raises DataError for a missing file, missing columns or an unusable row.
    """
    if not path.is_file():
        raise DataError(f"hierarchy file {path} does not exist. Give hierarchy.path=FILE or use hierarchy=medical4.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8.") from error
    with io.StringIO(text, newline="") as file:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        missing = set(COLUMNS) - set(reader.fieldnames or ())
        if missing:
            raise DataError(
                f"{path}: missing columns {sorted(missing)}; the header must be {', '.join(COLUMNS)} (tab-separated)."
            )
        concepts = [_concept(row, f"{path.name}, line {number}") for number, row in enumerate(reader, start=2)]
    return Hierarchy(concepts, path.name)


def _concept(row: dict[str, str], where: str) -> Concept:
    complete = None not in row and None not in row.values()
    if not complete or row["level"] not in map(str, LEVELS) or not row["id"].strip() or not row["name"].strip():
        raise DataError(
            f"{where}: a concept needs {len(COLUMNS)} tab-separated columns with id, a level 1-4 and a name; "
            f"found {row}."
        )

    def split(column: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in row[column].split("|") if part.strip())

    return Concept(
        row["id"], int(row["level"]), row["name"].strip(), split("parents"), split("synonyms"), split("subjects")
    )


@dataclass
class ForgetTarget:
    """What to forget, as configured: hierarchy nodes with their descendants, additions and exceptions."""

    name: str = field(default="custom", metadata={"help": "short name, used in folder names and tables"})
    concepts: list[str] = field(default_factory=list, metadata={"help": "hierarchy nodes, each with its descendants"})
    add: list[str] = field(
        default_factory=list, metadata={"help": "single nodes to forget too, boundary concepts for one"}
    )
    keep: list[str] = field(default_factory=list, metadata={"help": "nodes to keep, each with its descendants"})
    subjects: list[str] = field(
        default_factory=list, metadata={"help": "data labels SUBJECT or SUBJECT/TOPIC; empty: those of the concepts"}
    )
    boundary: str = field(
        default="preserve",
        metadata={
            "help": "concepts that also lie outside the target: preserve them, or forget them too",
            "choices": ["preserve", "forget"],
        },
    )


@dataclass(frozen=True)
class Target:
    """A forget target resolved against a hierarchy.

    `forget` are the concepts whose mentions are unlearning-targeted; `boundary` those reachable from outside the
    target as well, which are preserved; `kept` the exceptions; `labels` the data labels of forget items; `roots` the
    concepts that were named.
    """

    name: str
    forget: frozenset[str]
    boundary: frozenset[str]
    kept: frozenset[str]
    labels: frozenset[str]
    roots: frozenset[str] = frozenset()

    def covers(self, subject: str | None, topic: str | None, concepts: Collection[str] = ()) -> bool:
        """Tell whether an item with these labels, about these concepts, is a forget item.

        By label where the target has labels, unless all that the item is about is kept; a target without labels of its
        own (``forget.concepts=[hernia_surgery]``) covers the items about its concepts.
        """
        if not self.labels:
            return not self.forget.isdisjoint(concepts)
        labelled = subject in self.labels or (topic is not None and f"{subject}/{topic}" in self.labels)
        return labelled and not (concepts and self.kept.issuperset(concepts))


def resolve_target(spec: ForgetTarget, hierarchy: Hierarchy) -> Target:
    """Close `spec` over the hierarchy and take the boundary out (method.md section 2).

    A concept is on the boundary if it lies below the target and also below a node that neither belongs to the target
    nor is an ancestor of it. Raises ConfigError for unknown or missing nodes.
    """
    for key in ("concepts", "add", "keep"):
        for node in getattr(spec, key):
            if node not in hierarchy.concepts:
                raise ConfigError(
                    f"forget.{key}: the hierarchy has no concept {node!r}{nearest(node, hierarchy.concepts)}."
                )
    if not spec.concepts and not spec.add:
        raise ConfigError("forget.concepts is empty: name at least one concept, e.g. forget.concepts=[surgery].")
    kept = hierarchy.descendants(spec.keep)
    closure = hierarchy.descendants(spec.concepts)
    outside = hierarchy.concepts.keys() - closure - hierarchy.ancestors(spec.concepts)
    boundary = (closure & hierarchy.descendants(outside)) - set(spec.concepts) - set(spec.add)
    if spec.boundary == "forget":
        boundary = frozenset[str]()
    forget = ((closure - boundary) | set(spec.add)) - kept
    mapped = frozenset(label for node in closure - kept for label in hierarchy[node].subjects)
    labels = frozenset(spec.subjects) or mapped
    roots = frozenset(spec.concepts)
    return Target(spec.name, frozenset(forget), frozenset(boundary - kept), frozenset(kept), labels, roots)
