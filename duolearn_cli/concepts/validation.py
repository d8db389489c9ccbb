"""Check a list of concepts. Problems make it unusable; warnings are odd but usable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

from duolearn_cli.concepts.concept import LEVELS, Concept
from duolearn_cli.concepts.folding import fold
from duolearn_cli.concepts.variants import variants
from duolearn_cli.errors import nearest

# Finding the nearest match among a hundred thousand ids takes a second, so only the first unknown parents get a hint.
MAX_HINTS = 10
MAX_SHOWN = 50  # lines of one error message


def place(concept: Concept) -> str:
    """Return a concept's name for a message: its id, and its line in the file if it has one."""
    return f"{concept.id} (line {concept.row})" if concept.row else concept.id


def listed(problems: Sequence[str]) -> str:
    """Return the problems as indented lines: the first `MAX_SHOWN`, then the number of the others."""
    left = len(problems) - MAX_SHOWN
    shown = [*problems[:MAX_SHOWN], *([f"... and {left} more"] if left > 0 else [])]
    return "".join(f"\n  {problem}" for problem in shown)


def find_problems(concepts: Sequence[Concept]) -> list[str]:
    """Return every reason why `concepts` make no hierarchy, one line each: the concept, the fault and the fix."""
    by_id: dict[str, Concept] = {}
    repeated: list[str] = []
    for concept in concepts:
        first = by_id.setdefault(concept.id, concept)
        if first is not concept:
            repeated.append(f"{place(concept)}: id {concept.id!r} is used twice, first by {place(first)}; rename one")
    return [*repeated, *_unknown_parents(by_id), *_levels(by_id), *_shared_terms(by_id), *_cycles(by_id)]


def _unknown_parents(concepts: Mapping[str, Concept]) -> Iterator[str]:
    hints = 0
    for concept in concepts.values():
        for parent in concept.parents:
            if parent not in concepts:
                hints += 1
                hint = nearest(parent, concepts) if hints <= MAX_HINTS else ""
                yield f"{place(concept)}: unknown parent {parent!r}{hint}; add this concept or name another parent"


def _levels(concepts: Mapping[str, Concept]) -> Iterator[str]:
    for concept in concepts.values():
        if concept.level not in LEVELS:
            yield f"{place(concept)}: level {concept.level} is not one of {list(LEVELS)}"
        for parent in concept.parents:
            if parent in concepts and (above := concepts[parent].level) > concept.level:
                yield (
                    f"{place(concept)}: level {concept.level} is above its parent {parent} (level {above}); "
                    f"give it level {above} or more, or another parent"
                )


def _shared_terms(concepts: Mapping[str, Concept]) -> Iterator[str]:
    # Compared without case only: terms that also differ in dashes or accents are a warning, since the matcher decides
    # between them by their order.
    owner: dict[str, Concept] = {}
    for concept in concepts.values():
        for term in concept.plain_terms:
            first = owner.setdefault(term.casefold(), concept)
            if first is not concept:
                yield (
                    f"{place(concept)}: the term {term!r} already belongs to {place(first)}; remove it from one of "
                    f"them, or give it a context in one: {term}{{word}}"
                )


def _cycles(concepts: Mapping[str, Concept]) -> Iterator[str]:
    try:
        TopologicalSorter({c.id: c.parents for c in concepts.values()}).prepare()
    except CycleError as error:
        yield f"cycle: {' > '.join(error.args[1])}; remove one of these parents"


def find_warnings(concepts: Iterable[Concept]) -> dict[str, list[str]]:
    """Return {kind: messages} for what is odd but usable, for `duolearn hierarchy check`. Empty kinds are left out.

    `concepts` must have no problems (see `find_problems`).
    """
    by_id = {concept.id: concept for concept in concepts}
    warnings = {
        "synonyms that never match": list(_orphaned_synonyms(by_id)),
        "ambiguous forms": list(_ambiguous_forms(by_id)),
        "levels skipped": list(_skipped_levels(by_id)),
        "no parent": list(_rootless(by_id)),
    }
    return {kind: messages for kind, messages in warnings.items() if messages}


def is_matchable(term: str) -> bool:
    """Return whether the matcher can find a term: it needs a letter or a digit."""
    return any(char.isalnum() for char in term)


def _folded(term: str) -> str:
    """Return a term as the matcher searches for it."""
    return fold(term).strip(" -")


def _folded_owners(concepts: Mapping[str, Concept]) -> dict[str, str]:
    """Return {folded term: concept id}; the first concept with a term gets it, as in the matcher (`matcher.forms`)."""
    owner: dict[str, str] = {}
    for concept in concepts.values():
        for term in concept.plain_terms:
            owner.setdefault(_folded(term), concept.id)
    return owner


def _orphaned_synonyms(concepts: Mapping[str, Concept]) -> Iterator[str]:
    owner = _folded_owners(concepts)
    for concept in concepts.values():
        seen = {_folded(concept.name)}
        first = concept.id if concept.context(concept.name) else owner[_folded(concept.name)]
        if first != concept.id:
            yield (
                f"{place(concept)}: {concept.name!r} in a text means {first}, which has a term of the same folded form"
            )
        for synonym in concept.synonyms:
            folded = _folded(synonym)
            if not is_matchable(synonym):
                yield f"{place(concept)}: the synonym {synonym!r} has no letter or digit"
            elif concept.context(synonym) is None and owner[folded] != concept.id:
                yield (
                    f"{place(concept)}: {synonym!r} in a text means {owner[folded]}, which has a term of the same "
                    "folded form"
                )
            elif folded in seen:
                yield f"{place(concept)}: the synonym {synonym!r} repeats another term of the concept"
            seen.add(folded)


def _ambiguous_forms(concepts: Mapping[str, Concept]) -> Iterator[str]:
    """Warn of forms, such as plurals, that two concepts generate. The first one gets them, as in the matcher."""
    owner = _folded_owners(concepts)
    terms = set(owner)
    for concept in concepts.values():
        for term in concept.plain_terms:
            for form in sorted(variants(term) - {_folded(term)}):
                first = owner.setdefault(form, concept.id)
                if first != concept.id:
                    why = "is a term of" if form in terms else "is also a form of"
                    yield f"{place(concept)}: {form!r}, a form of {term!r}, {why} {first}, which keeps it"


def _skipped_levels(concepts: Mapping[str, Concept]) -> Iterator[str]:
    for concept in concepts.values():
        above = max((concepts[parent].level for parent in concept.parents), default=concept.level)
        if concept.level > above + 1:
            yield f"{place(concept)}: level {concept.level} is directly below level {above}"


def _rootless(concepts: Mapping[str, Concept]) -> Iterator[str]:
    """Warn of concepts on levels 3 and 4 that stand alone: those on levels 1 and 2 may start a tree, but these have
    usually lost a parent."""
    parents = {parent for concept in concepts.values() for parent in concept.parents}
    for concept in concepts.values():
        if concept.level >= 3 and not concept.parents and concept.id not in parents:
            yield f"{place(concept)}: level {concept.level}, but no parent and no children"


def settle(concepts: Sequence[Concept]) -> tuple[list[Concept], list[str]]:
    """Give every term to one concept. Vocabularies share terms between concepts, but a hierarchy does not allow it.

    Names win over synonyms, and earlier concepts over later ones. A name that an earlier concept already has gets the
    concept's id added. A synonym is dropped if it belongs to another concept, repeats a term of its own concept, or
    has no letter or digit.

    Returns:
        The concepts, in the same order, and one line for each kind of change.
    """
    owner: dict[str, str] = {}
    named: list[Concept] = []
    # All names first, so that no synonym of an earlier concept takes the name of a later one.
    for concept in concepts:
        name = concept.name if _key(concept.name) not in owner else f"{concept.name} [{concept.id}]"
        owner.setdefault(_key(name), concept.id)
        named.append(replace(concept, name=name))
    settled: list[Concept] = []
    for concept in named:
        synonyms: list[str] = []
        for synonym in concept.synonyms:
            if is_matchable(synonym) and _key(synonym) not in owner:
                owner[_key(synonym)] = concept.id
                synonyms.append(synonym)
        settled.append(replace(concept, synonyms=tuple(synonyms)))
    return settled, list(_settlement(concepts, settled))


def _settlement(before: Sequence[Concept], after: Sequence[Concept]) -> Iterator[str]:
    renamed = sum(old.name != new.name for old, new in zip(before, after, strict=True))
    dropped = sum(len(old.synonyms) - len(new.synonyms) for old, new in zip(before, after, strict=True))
    if renamed:
        yield f"{renamed:,} names already belong to an earlier concept: the concept's id was added to them"
    if dropped:
        yield f"{dropped:,} synonyms dropped: they name another concept or repeat a term"


def _key(term: str) -> str:
    """Return a key under which two terms are equal if the hierarchy (case) or the matcher (dashes too) equates them."""
    return fold(term.casefold())
