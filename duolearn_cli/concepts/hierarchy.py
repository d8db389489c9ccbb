"""The concept hierarchy: a forest of medical concepts on four levels, and forget targets within it.

The paper names such a hierarchy and publishes none; everything here is our definition (docs/hierarchy.md).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from duolearn_cli.concepts.concept import Concept
from duolearn_cli.concepts.labels import label_key
from duolearn_cli.concepts.rows import read_concepts
from duolearn_cli.concepts.scope import EVERYBODY, Scope
from duolearn_cli.concepts.validation import find_problems, listed
from duolearn_cli.config.forget import ForgetTarget
from duolearn_cli.errors import ConfigError, DataError, nearest


class Hierarchy:
    """Concepts by id. The constructor checks them, so a `Hierarchy` is always sound.

    A concept may have several parents. `notes` are lines about what the source left out or changed.

    Raises:
        DataError: the concepts have unknown parents, cycles, a level above a parent's, or one term in two concepts.
            The message lists all problems.
    """

    def __init__(self, concepts: Iterable[Concept], source: str = "hierarchy", notes: Sequence[str] = ()) -> None:
        nodes = list(concepts)
        if problems := find_problems(nodes):
            raise DataError(f"{source}: {len(problems)} problems:{listed(problems)}")
        self.concepts: dict[str, Concept] = {concept.id: concept for concept in nodes}
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
        """The concept id of each term, in lower case. A term with several senses, all of them with a context, is left
        out, because it does not say which concept is meant."""
        unique = {term: nodes[0] for term, nodes in self._senses.items() if len(nodes) == 1}
        plain = {term.casefold(): concept.id for concept in self.concepts.values() for term in concept.plain_terms}
        # A term without a context always names its concept, so it wins over one that needs a context.
        return unique | plain

    @cached_property
    def _senses(self) -> dict[str, list[str]]:
        """The ids of the concepts that each term with a context may name; terms are in lower case."""
        senses: dict[str, list[str]] = {}
        for concept in self.concepts.values():
            for term, _ in concept.contexts:
                senses.setdefault(term.casefold(), []).append(concept.id)
        return senses

    def lookup(self, word: str) -> str | None:
        """Return `word` if it is an id, else the id of the concept that has it as a term (in any case), else None."""
        return word if word in self.concepts else self._by_term.get(word.casefold())

    def suggestion(self, word: str, others: Iterable[str] = ()) -> str:
        """Return the end of an error message about an unknown `word`.

        It names the concepts that the word may mean, or else the closest id, term or word of `others`.
        """
        if len(senses := self._senses.get(word.casefold(), ())) > 1:
            return f" of its own; it may mean {' or '.join(senses)}: name one of them"
        return nearest(word, [*others, *self.concepts, *self._by_term])

    def children(self, node: str) -> tuple[str, ...]:
        """Return the ids of the concepts directly below `node`."""
        return tuple(self._children.get(node, ()))

    def descendants(self, nodes: Iterable[str]) -> frozenset[str]:
        """Return `nodes` and all concepts below them."""
        return _closure(nodes, lambda node: self._children.get(node, ()))

    def ancestors(self, nodes: Iterable[str]) -> frozenset[str]:
        """Return `nodes` and all concepts above them."""
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

    The parts of a list are separated by ``|``.

    Raises:
        DataError: the file or a column is missing, rows cannot be used, or the concepts make no hierarchy.
    """
    return Hierarchy(read_concepts(path), path.name)


@dataclass(frozen=True)
class Target:
    """A forget target resolved against a hierarchy. Concepts are ids.

    forget: concepts to unlearn; their mentions become U tokens.
    boundary: concepts that also lie below something outside the target; they are preserved.
    kept: the exceptions of `forget.keep`, with everything below them.
    labels: data labels; an item with one of them is a forget item.
    roots: the concepts that the user named.
    sought: concepts that make an item a forget item by content: an item about one of them is forgotten whatever its
        label says (`data.about` decides what an item is about).
    scope: the patients and days that the target is limited to.
    """

    name: str
    forget: frozenset[str]
    boundary: frozenset[str]
    kept: frozenset[str]
    labels: frozenset[str]
    roots: frozenset[str] = frozenset()
    sought: frozenset[str] = frozenset()
    scope: Scope = EVERYBODY

    @property
    def is_everything(self) -> bool:
        """Whether all that lies in the scope is forgotten, whatever it is about."""
        return self.scope.is_limited and not self.roots and not self.forget and not self.labels

    @cached_property
    def _keys(self) -> frozenset[str]:
        return frozenset(map(label_key, self.labels))

    def covers(self, subject: str | None, topic: str | None, concepts: Collection[str] = ()) -> bool:
        """Return whether an item is a forget item by its label. Case, accents and hyphens do not matter.

        An item is not one if it has `concepts` and all of them are exceptions (`kept`). The scope is not looked at.
        """
        if self.is_everything:
            return True
        if subject is None:
            return False
        labelled = label_key(subject) in self._keys or (
            topic is not None and label_key(f"{subject}/{topic}") in self._keys
        )
        return labelled and not (concepts and self.kept.issuperset(concepts))


def resolve_target(spec: ForgetTarget, hierarchy: Hierarchy) -> Target:
    """Turn the configured target into sets of concepts: all descendants, minus exceptions, minus the boundary.

    A concept is on the boundary if it lies below the target and also below a node that is neither in the target nor
    an ancestor of it (our definition). The configuration names a node by its id, its name or a synonym.

    Raises:
        ConfigError: a node is unknown, or none is named. The message lists all unknown nodes.
    """
    concepts, add, keep = _nodes(spec, hierarchy)
    scope = Scope.of(spec.patients, spec.dates)
    if not concepts and not add:
        if scope.is_limited and not spec.subjects:
            return Target(spec.name, *[frozenset[str]()] * 4, scope=scope)
        raise ConfigError(_without_concepts(spec, hierarchy))
    kept = hierarchy.descendants(keep)
    closure = hierarchy.descendants(concepts)
    # Ancestors do not count as outside: all of the target lies below them, so all of it would be on the boundary.
    outside = hierarchy.concepts.keys() - closure - hierarchy.ancestors(concepts)
    # What the user names is meant, even where it is shared.
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
        # Labels from forget.subjects cover the whole target, so nothing is left to search by content. Labels from the
        # hierarchy cover only the named nodes that have one at or below them; the other nodes are searched by content.
        sought = forget & (frozenset() if spec.subjects else _without_label(concepts, hierarchy))
    return Target(
        spec.name,
        frozenset(forget),
        frozenset(boundary - kept),
        frozenset(kept),
        labels,
        frozenset(concepts),
        frozenset(sought),
        scope,
    )


def _without_concepts(spec: ForgetTarget, hierarchy: Hierarchy) -> str:
    """Return the error message for a target without a concept. It proposes the concepts whose names the labels are."""
    if not spec.subjects:
        return (
            "forget.concepts is empty: name at least one concept, e.g. forget.concepts=[surgery], or whose data is "
            "forgotten, e.g. forget.patients=[p7] or forget.dates=2024-01-01..2024-06-30."
        )
    # In reverse, so that of several concepts with a label the first one wins.
    by_label = {
        label_key(label): concept.id for concept in reversed(hierarchy.concepts.values()) for label in concept.subjects
    }

    def node(label: str) -> str | None:
        # Of SUBJECT/TOPIC the topic comes first, because it is more specific.
        words = (label, *reversed(label.split("/")))
        return next((match for w in words if (match := by_label.get(label_key(w)) or hierarchy.lookup(w))), None)

    nodes = dict.fromkeys(match for label in spec.subjects if (match := node(label)))
    where = "" if nodes else ' (`duolearn hierarchy find "TEXT"` shows those that a text names)'
    return (
        "forget.concepts is empty: forget.subjects says which rows to forget, and forget.concepts says which words of "
        f"their texts. Fix: add forget.concepts=[{','.join(nodes) or 'CONCEPT,...'}]{where}."
    )


def _as_known(labels: Iterable[str], hierarchy: Hierarchy) -> frozenset[str]:
    """Return `labels` in the hierarchy's spelling where it knows them: votes for "Surgery" must count for "SURGERY"."""
    known = {label_key(label): label for concept in hierarchy.concepts.values() for label in concept.subjects}
    return frozenset(known.get(label_key(label), label) for label in labels)


def _without_label(roots: Sequence[str], hierarchy: Hierarchy) -> frozenset[str]:
    """Return the concepts at and below those `roots` that have no label at or below them."""
    below = {root: hierarchy.descendants([root]) for root in roots}
    labelled = [root for root, nodes in below.items() if any(hierarchy[node].subjects for node in nodes)]
    return hierarchy.descendants(set(roots) - hierarchy.descendants(labelled))


def _nodes(spec: ForgetTarget, hierarchy: Hierarchy) -> list[list[str]]:
    """Return the ids of the concepts, additions and exceptions of `spec`; one ConfigError names all unknown words."""
    nodes: list[list[str]] = []
    problems: list[str] = []
    for key in ("concepts", "add", "keep"):
        words = list(getattr(spec, key))
        ids = [hierarchy.lookup(word) for word in words]
        nodes.append([node for node in ids if node is not None])
        problems += [
            f"forget.{key}: the hierarchy has no concept {word!r}{hierarchy.suggestion(word)}."
            for word, node in zip(words, ids, strict=True)
            if node is None
        ]
    if problems:
        raise ConfigError("\n".join(problems))
    return nodes
