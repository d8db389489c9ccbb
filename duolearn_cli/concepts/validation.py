"""What is wrong with a list of concepts: problems, which refuse it, and warnings, which do not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

from duolearn_cli.concepts.concept import LEVELS, Concept
from duolearn_cli.concepts.folding import fold
from duolearn_cli.concepts.variants import variants
from duolearn_cli.errors import nearest

# A nearest match among a hundred thousand ids takes a second: only the first unknown parents get one.
MAX_HINTS = 10
MAX_SHOWN = 50


def place(concept: Concept) -> str:
    """Name a concept in a message, with its line where it is known."""
    return f"{concept.id} (line {concept.row})" if concept.row else concept.id


def listed(problems: Sequence[str]) -> str:
    """The problems as indented lines, of very many the first ones and a count."""
    left = len(problems) - MAX_SHOWN
    shown = [*problems[:MAX_SHOWN], *([f"... and {left} more"] if left > 0 else [])]
    return "".join(f"\n  {problem}" for problem in shown)


def find_problems(concepts: Sequence[Concept]) -> list[str]:
    """Return every reason why `concepts` make no hierarchy, each with the concept and the mend."""
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
                yield f"{place(concept)}: unknown parent {parent!r}{hint}; add that concept or name another parent"


def _levels(concepts: Mapping[str, Concept]) -> Iterator[str]:
    for concept in concepts.values():
        if concept.level not in LEVELS:
            yield f"{place(concept)}: level {concept.level} is none of {list(LEVELS)}"
        for parent in concept.parents:
            if parent in concepts and (above := concepts[parent].level) > concept.level:
                yield (
                    f"{place(concept)}: level {concept.level} is above its parent {parent} (level {above}); "
                    f"give it level {above} or more, or another parent"
                )


def _shared_terms(concepts: Mapping[str, Concept]) -> Iterator[str]:
    owner: dict[str, Concept] = {}
    for concept in concepts.values():
        for term in concept.plain_terms:
            first = owner.setdefault(term.casefold(), concept)
            if first is not concept:
                yield (
                    f"{place(concept)}: the term {term!r} already belongs to {place(first)}; take it from one of them, "
                    f"or give it a context in one: {term}{{word}}"
                )


def _cycles(concepts: Mapping[str, Concept]) -> Iterator[str]:
    try:
        TopologicalSorter({c.id: c.parents for c in concepts.values()}).prepare()
    except CycleError as error:
        yield f"cycle: {' > '.join(error.args[1])}; take one of these parents away"


def find_warnings(concepts: Iterable[Concept]) -> dict[str, list[str]]:
    """Return what is odd but usable in sound `concepts`, by kind; kinds without a case are left out."""
    by_id = {concept.id: concept for concept in concepts}
    found = {
        "synonyms that never match": list(_orphaned_synonyms(by_id)),
        "ambiguous forms": list(_ambiguous_forms(by_id)),
        "levels skipped": list(_skipped_levels(by_id)),
        "no parent": list(_rootless(by_id)),
    }
    return {kind: messages for kind, messages in found.items() if messages}


def is_matchable(term: str) -> bool:
    """Whether a text can name it: a term without a letter or digit is found nowhere."""
    return any(char.isalnum() for char in term)


def _folded(term: str) -> str:
    """A term as the matcher looks for it."""
    return fold(term).strip(" -")


def _folded_owners(concepts: Mapping[str, Concept]) -> dict[str, str]:
    """The concept of each folded term, the first that has it: what the matcher goes by where no context decides."""
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
            yield f"{place(concept)}: texts that say {concept.name!r} mean {first}, whose term folds to the same"
        for synonym in concept.synonyms:
            folded = _folded(synonym)
            if not is_matchable(synonym):
                yield f"{place(concept)}: the synonym {synonym!r} has no letter or digit"
            elif concept.context(synonym) is None and owner[folded] != concept.id:
                yield f"{place(concept)}: texts that say {synonym!r} mean {owner[folded]}, whose term folds to the same"
            elif folded in seen:
                yield f"{place(concept)}: the synonym {synonym!r} repeats another term of the concept"
            seen.add(folded)


def _ambiguous_forms(concepts: Mapping[str, Concept]) -> Iterator[str]:
    """Forms such as plurals that two concepts generate, in the matcher's order: the first keeps them."""
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
            yield f"{place(concept)}: level {concept.level} stands right below level {above}"


def _rootless(concepts: Mapping[str, Concept]) -> Iterator[str]:
    """Foundation and core may start a tree; a field or a focused concept that does so often lost its parent."""
    parents = {parent for concept in concepts.values() for parent in concept.parents}
    for concept in concepts.values():
        if concept.level >= 3 and not concept.parents and concept.id not in parents:
            yield f"{place(concept)}: level {concept.level}, with no parent and nothing below it"


def settle(concepts: Sequence[Concept]) -> tuple[list[Concept], list[str]]:
    """Give every term to one concept, as vocabularies share terms and a hierarchy refuses that.

    Names win over synonyms and earlier concepts over later ones. A synonym that belongs to another concept, repeats one
    of its own or holds no letter or digit is dropped; a name that an earlier concept has gets the concept's id added.
    Returns the concepts and what was done, one line each.
    """
    owner: dict[str, str] = {}
    named: list[Concept] = []
    for concept in concepts:
        name = concept.name if _key(concept.name) not in owner else f"{concept.name} [{concept.id}]"
        owner.setdefault(_key(name), concept.id)
        named.append(replace(concept, name=name))
    settled: list[Concept] = []
    for concept in named:
        kept: list[str] = []
        for synonym in concept.synonyms:
            if is_matchable(synonym) and _key(synonym) not in owner:
                owner[_key(synonym)] = concept.id
                kept.append(synonym)
        settled.append(replace(concept, synonyms=tuple(kept)))
    return settled, list(_settlement(concepts, settled))


def _settlement(before: Sequence[Concept], after: Sequence[Concept]) -> Iterator[str]:
    renamed = sum(old.name != new.name for old, new in zip(before, after, strict=True))
    dropped = sum(len(old.synonyms) - len(new.synonyms) for old, new in zip(before, after, strict=True))
    if renamed:
        yield f"{renamed:,} names belong to an earlier concept too and got their id added"
    if dropped:
        yield f"{dropped:,} synonyms dropped: they name another concept or repeat a term"


def _key(term: str) -> str:
    """Terms with the same key are the same to the hierarchy (case folded) or to the matcher (dashes too)."""
    return fold(term.casefold())
