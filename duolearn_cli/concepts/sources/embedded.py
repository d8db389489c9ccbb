"""The hierarchies that ship with the package, whole or in part, and the user's files in the same format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from duolearn_cli.concepts.concept import Concept
from duolearn_cli.concepts.context import Context, split_context
from duolearn_cli.concepts.folding import fold
from duolearn_cli.concepts.hierarchy import Hierarchy, read_hierarchy
from duolearn_cli.concepts.sources.base import HierarchySource, required_file
from duolearn_cli.config.settings import NAME, setting
from duolearn_cli.errors import ConfigError, nearest
from duolearn_cli.files import PACKAGE

FOLDER = PACKAGE / "concepts"


@dataclass
class Embedded(HierarchySource):
    """A hierarchy from a tab-separated file: one that ships with the package, or the user's `path`."""

    name: str = setting("medical4", "short name", pattern=NAME)
    file: str = setting("medical4.tsv", "embedded file", pattern=NAME)
    path: str | None = setting(None, "your own tab-separated file; empty: the embedded one")
    roots: list[str] = setting([], "use only these nodes, with everything below and above them; empty: everything")
    terms: dict[str, str] = setting(
        {}, "extra terms of concepts, {term: concept}; a term may end in a context in braces"
    )

    def load(self) -> Hierarchy:
        """Read the file, select the part that `roots` name and add `terms`. Raises DataError or ConfigError."""
        whole = read_hierarchy(required_file(self.path) if self.path else self._embedded())
        return with_terms(part(whole, self.roots), self.terms)

    def _embedded(self) -> Path:
        known = sorted(path.name for path in FOLDER.glob("*.tsv"))
        if self.file not in known:
            raise ConfigError(
                f"hierarchy.file={self.file}: there is no such embedded hierarchy; allowed: {', '.join(known)}"
                f"{nearest(self.file, known)}. For a file of your own set hierarchy.path."
            )
        return FOLDER / self.file


def part(hierarchy: Hierarchy, roots: Iterable[str]) -> Hierarchy:
    """Return the hierarchy of `roots`, everything below them, and everything above all of those.

    Raises:
        ConfigError: a node is unknown. The message lists all unknown nodes.
    """
    nodes = {word: hierarchy.lookup(word) for word in roots}
    unknown = [word for word, node in nodes.items() if node is None]
    if unknown:
        raise ConfigError(
            "\n".join(
                f"hierarchy.roots: the hierarchy has no concept {word!r}{hierarchy.suggestion(word)}."
                for word in unknown
            )
        )
    if not nodes:
        return hierarchy
    # With all ancestors, because a concept whose parent is missing is refused.
    selected = hierarchy.ancestors(hierarchy.descendants(node for node in nodes.values() if node is not None))
    return Hierarchy(concept for concept in hierarchy.concepts.values() if concept.id in selected)


def with_terms(hierarchy: Hierarchy, terms: Mapping[str, str]) -> Hierarchy:
    """Return the hierarchy with each term added to its concept, and removed from every other concept's synonyms.

    A term may end in a context in braces, and then it names the concept only there.

    Raises:
        ConfigError: a concept is unknown, a term is another concept's name, or a context cannot be read.
    """
    names = {fold(concept.name): concept.id for concept in hierarchy.concepts.values()}
    added: dict[str, list[tuple[str, Context | None]]] = {}
    problems: list[str] = []
    for marked, word in terms.items():
        try:
            term, context = split_context(marked)
        except ValueError as error:
            problems.append(f"hierarchy.terms: {error}.")
            continue
        node, named = hierarchy.lookup(word), names.get(fold(term))
        if node is None:
            problems.append(f"hierarchy.terms: {term!r}: no concept {word!r}{hierarchy.suggestion(word)}.")
        elif named not in (None, node):
            problems.append(f"hierarchy.terms: {term!r} is the name of {named}, so it cannot mean {node}.")
        else:
            added.setdefault(node, []).append((term, context))
    if problems:
        raise ConfigError("\n".join(problems))
    moved = {fold(term) for new in added.values() for term, _ in new}
    return Hierarchy([_with(c, added.get(c.id, []), moved) for c in hierarchy.concepts.values()])


def _with(concept: Concept, added: Sequence[tuple[str, Context | None]], moved: set[str]) -> Concept:
    """Return `concept` with the terms `added`; `moved` are the folded terms that it loses unless they are added."""
    synonyms = [synonym for synonym in concept.synonyms if fold(synonym) not in moved]
    # A term that only differs from the name in case or accents is the name: it must not become a synonym as well.
    new = [(concept.name if fold(term) == fold(concept.name) else term, context) for term, context in added]
    contexts = [(term, context) for term, context in concept.contexts if fold(term) not in moved]
    return replace(
        concept,
        synonyms=(*synonyms, *(term for term, _ in new if term != concept.name)),
        contexts=(*contexts, *((term, context) for term, context in new if context)),
    )
