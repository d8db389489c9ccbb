"""The concept hierarchy: a forest of medical concepts over four levels (method.md section 2, our definition)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from duolearn_cli.concepts.concept import Concept
from duolearn_cli.concepts.labels import label_key
from duolearn_cli.concepts.rows import read_concepts
from duolearn_cli.concepts.validation import find_problems, listed
from duolearn_cli.config.forget import ForgetTarget
from duolearn_cli.errors import ConfigError, DataError, nearest


class Hierarchy:
    """Concepts by id, checked on construction; `notes` tell what their source left out or changed.

    Raises:
        DataError: every problem found: unknown parents, cycles, a level above its parent's, terms of two concepts.
    """

    def __init__(self, concepts: Iterable[Concept], source: str = "hierarchy", notes: Sequence[str] = ()) -> None:
        given = list(concepts)
        if problems := find_problems(given):
            raise DataError(f"{source}: {len(problems)} problems:{listed(problems)}")
        self.concepts: dict[str, Concept] = {concept.id: concept for concept in given}
        self.notes = tuple(notes)

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

    @cached_property
    def _by_term(self) -> dict[str, str]:
        """The concept that each term names, in lower case. A term with several senses, none of them without a context,
        is left out: it does not say which one is meant."""
        ambiguous = {term: nodes[0] for term, nodes in self._senses.items() if len(nodes) == 1}
        plain = {term.casefold(): concept.id for concept in self.concepts.values() for term in concept.plain_terms}
        return ambiguous | plain

    @cached_property
    def _senses(self) -> dict[str, list[str]]:
        """The concepts that each term with a context may name, in lower case."""
        senses: dict[str, list[str]] = {}
        for concept in self.concepts.values():
            for term, _ in concept.contexts:
                senses.setdefault(term.casefold(), []).append(concept.id)
        return senses

    def lookup(self, word: str) -> str | None:
        """Return the id that `word` is, or else the concept that it names in whatever case."""
        return word if word in self.concepts else self._by_term.get(word.casefold())

    def suggestion(self, word: str, others: Iterable[str] = ()) -> str:
        """Return a hint at the concepts that `word` may mean, or at the id, term or one of `others` nearest to it."""
        if len(senses := self._senses.get(word.casefold(), ())) > 1:
            return f" of its own; it may mean {' or '.join(senses)}: name one of them"
        return nearest(word, [*others, *self.concepts, *self._by_term])

    def children(self, node: str) -> tuple[str, ...]:
        """Return the concepts right below `node`."""
        return tuple(self._children.get(node, ()))

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


def read_hierarchy(path: Path) -> Hierarchy:
    """Read a tab-separated file with the columns id, level, parents, name, synonyms, subjects.

    Lists are separated by ``|``. Raises DataError for a missing file, missing columns or unusable rows.
    """
    return Hierarchy(read_concepts(path), path.name)


@dataclass(frozen=True)
class Target:
    """A forget target resolved against a hierarchy.

    `forget` are the concepts whose mentions are unlearning-targeted; `boundary` those reachable from outside the
    target as well, which are preserved; `kept` the exceptions; `labels` the data labels of forget items; `roots` the
    concepts that were named; `sought` the concepts that an item may be about to be a forget item whatever its label
    (`data.about` says what an item is about).
    """

    name: str
    forget: frozenset[str]
    boundary: frozenset[str]
    kept: frozenset[str]
    labels: frozenset[str]
    roots: frozenset[str] = frozenset()
    sought: frozenset[str] = frozenset()

    @cached_property
    def _keys(self) -> frozenset[str]:
        return frozenset(map(label_key, self.labels))

    def covers(self, subject: str | None, topic: str | None, concepts: Collection[str] = ()) -> bool:
        """Tell whether an item is a forget item by its labels, whatever their case, accents and hyphens.

        An item all of whose concepts are kept is none.
        """
        if subject is None:
            return False
        labelled = label_key(subject) in self._keys or (
            topic is not None and label_key(f"{subject}/{topic}") in self._keys
        )
        return labelled and not (concepts and self.kept.issuperset(concepts))


def resolve_target(spec: ForgetTarget, hierarchy: Hierarchy) -> Target:
    """Close `spec` over the hierarchy and take the boundary out (method.md section 2).

    A concept is on the boundary if it lies below the target and also below a node that neither belongs to the target
    nor is an ancestor of it. A node is given as an id, a name or a synonym. Raises ConfigError for unknown or missing
    nodes.
    """
    concepts, add, keep = _nodes(spec, hierarchy)
    if not concepts and not add:
        raise ConfigError(_without_concepts(spec, hierarchy))
    kept = hierarchy.descendants(keep)
    closure = hierarchy.descendants(concepts)
    outside = hierarchy.concepts.keys() - closure - hierarchy.ancestors(concepts)
    boundary = (closure & hierarchy.descendants(outside)) - set(concepts) - set(add)
    if spec.boundary == "forget":
        boundary = frozenset[str]()
    forget = ((closure - boundary) | set(add)) - kept
    mapped = frozenset(label for node in closure - kept for label in hierarchy[node].subjects)
    labels = _as_known(spec.subjects, hierarchy) or mapped
    if spec.by == "concepts":
        labels = frozenset[str]()
    sought = forget
    if labels and spec.by == "auto":
        # Labels that the user names stand for all the concepts; those of the hierarchy only for the nodes above them.
        sought = forget & (frozenset() if spec.subjects else _without_label(concepts, hierarchy))
    return Target(
        spec.name,
        frozenset(forget),
        frozenset(boundary - kept),
        frozenset(kept),
        labels,
        frozenset(concepts),
        frozenset(sought),
    )


def _without_concepts(spec: ForgetTarget, hierarchy: Hierarchy) -> str:
    """Why a target without a concept is refused, and what to add: of named labels the concepts that are called so."""
    if not spec.subjects:
        return "forget.concepts is empty: name at least one concept, e.g. forget.concepts=[surgery]."
    by_label = {
        label_key(label): concept.id for concept in reversed(hierarchy.concepts.values()) for label in concept.subjects
    }

    def node(label: str) -> str | None:
        # SUBJECT/TOPIC: the topic says more than the subject.
        words = (label, *reversed(label.split("/")))
        return next((found for w in words if (found := by_label.get(label_key(w)) or hierarchy.lookup(w))), None)

    nodes = dict.fromkeys(found for label in spec.subjects if (found := node(label)))
    where = "" if nodes else ' (`duolearn hierarchy find "TEXT"` shows those that a text names)'
    return (
        "forget.concepts is empty: forget.subjects says which rows to forget, and the concepts which words of their "
        f"texts. Mend: give forget.concepts=[{','.join(nodes) or 'CONCEPT,...'}] as well{where}."
    )


def _as_known(labels: Iterable[str], hierarchy: Hierarchy) -> frozenset[str]:
    """`labels` in the hierarchy's spelling where it has them: votes for "Surgery" must count for "SURGERY"."""
    known = {label_key(label): label for concept in hierarchy.concepts.values() for label in concept.subjects}
    return frozenset(known.get(label_key(label), label) for label in labels)


def _without_label(roots: Sequence[str], hierarchy: Hierarchy) -> frozenset[str]:
    """What lies below those of `roots` that no label stands for."""
    below = {root: hierarchy.descendants([root]) for root in roots}
    labelled = [root for root, nodes in below.items() if any(hierarchy[node].subjects for node in nodes)]
    return hierarchy.descendants(set(roots) - hierarchy.descendants(labelled))


def _nodes(spec: ForgetTarget, hierarchy: Hierarchy) -> list[list[str]]:
    """The ids of `spec`'s concepts, additions and exceptions, each given as an id or as a term. All faults at once."""
    found: list[list[str]] = []
    problems: list[str] = []
    for key in ("concepts", "add", "keep"):
        words = list(getattr(spec, key))
        ids = [hierarchy.lookup(word) for word in words]
        found.append([node for node in ids if node is not None])
        problems += [
            f"forget.{key}: the hierarchy has no concept {word!r}{hierarchy.suggestion(word)}."
            for word, node in zip(words, ids, strict=True)
            if node is None
        ]
    if problems:
        raise ConfigError("\n".join(problems))
    return found
