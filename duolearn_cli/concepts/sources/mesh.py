"""Medical Subject Headings (MeSH) from NLM's descriptor file, descYYYY.xml or descYYYY.xml.gz."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from duolearn_cli.concepts.concept import Concept
from duolearn_cli.concepts.hierarchy import Hierarchy
from duolearn_cli.concepts.sources.base import HierarchySource, imported, opened, raised, required_file
from duolearn_cli.config.settings import NAME, setting
from duolearn_cli.errors import DataError

RECORD = "DescriptorRecord"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One record: its unique id, its heading, its entry terms and its tree numbers (``C14.280.647``)."""

    id: str
    name: str
    terms: tuple[str, ...]
    numbers: tuple[str, ...]


@dataclass
class Mesh(HierarchySource):
    """MeSH descriptors as a hierarchy. A tree number without its last part is the parent's tree number.

    The branch, the first letter of a tree number, decides the level:

    - branches of `foundation` (anatomy; phenomena and processes): level 1;
    - branches of `specialties` (diseases; techniques; psychiatry): level 3 (a field, such as cardiovascular diseases),
      and level 4 from `focused_depth` on (named diseases and procedures);
    - the other branches (organisms, chemicals and drugs, health care, ...): level 2.

    A descriptor with several tree numbers takes the lowest of their levels. Then levels are raised so that none is less
    than a parent's. Tree numbers form a few cycles; the parent that closes one is dropped. Descriptors without a tree
    number in `branches` are left out.
    """

    name: str = setting("mesh", "short name", pattern=NAME)
    path: str | None = setting(None, "NLM's descriptor file, descYYYY.xml or descYYYY.xml.gz")
    branches: list[str] = setting([], "only these branches, such as [A,C,E,F]; empty: all")
    foundation: list[str] = setting(["A", "G"], "branches of level 1")
    specialties: list[str] = setting(["C", "E", "F"], "branches of levels 3 and 4")
    focused_depth: int = setting(3, "tree depth at which level 4 begins; C14 has depth 1", minimum=2)

    def load(self) -> Hierarchy:
        """Read the file as a stream. Raises DataError if it is missing, is not MeSH, or declares XML entities."""
        path = required_file(self.path)
        every = list(descriptors(path))
        used = [d for d in map(self._within, every) if d.numbers]
        owner = {number: d.id for d in used for number in d.numbers}
        parents, broken = without_cycles({d.id: _parents(d, owner) for d in used})
        concepts = [Concept(d.id, min(map(self._level, d.numbers)), d.name, parents[d.id], d.terms) for d in used]
        counts = {
            "tree numbers whose parent is not in the file": sum(_is_orphan(n, owner) for n in owner),
            "descriptors left out: no tree number in the chosen branches": len(every) - len(used),
            "parents left out: they close a cycle": broken,
        }
        return imported(raised(concepts), path.name, [f"{n:,} {what}" for what, n in counts.items() if n])

    def problems(self) -> Iterator[str]:
        """Yield faults of the settings: a branch must be a single letter, and it must have one level."""
        yield from super().problems()
        for key in ("branches", "foundation", "specialties"):
            for branch in getattr(self, key):
                if len(branch) != 1 or not "A" <= branch <= "Z":
                    yield f"{key}: {branch!r} is not a branch; branches are single letters, such as C for diseases."
        if shared := sorted(set(self.foundation) & set(self.specialties)):
            yield f"foundation and specialties both name {', '.join(shared)}; name a branch in only one of them."

    def _within(self, descriptor: Descriptor) -> Descriptor:
        numbers = tuple(n for n in descriptor.numbers if not self.branches or n[0] in self.branches)
        return Descriptor(descriptor.id, descriptor.name, descriptor.terms, numbers)

    def _level(self, number: str) -> int:
        if number[0] in self.foundation:
            return 1
        if number[0] not in self.specialties:
            return 2
        return 4 if number.count(".") + 1 >= self.focused_depth else 3


def descriptors(path: Path) -> Iterator[Descriptor]:
    """Yield the records of a descriptor file one by one.

    Raises:
        DataError: the file is not whole, has no record, or declares XML entities. A DOCTYPE line is allowed: NLM's
            files have one.
    """
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import iterparse

    any_record, root = False, None
    try:
        with opened(path) as file:
            stream = iterparse(
                file, events=("start", "end"), forbid_dtd=False, forbid_entities=True, forbid_external=True
            )
            for event, element in stream:
                root = element if root is None else root
                if event == "end" and element.tag == RECORD:
                    any_record = True
                    yield _descriptor(element, path)
                    root.clear()  # otherwise the parser keeps the whole file in memory below the root
    except DefusedXmlException as error:
        raise DataError(f"{path}: it declares XML entities, which are refused; NLM's files have none.") from error
    except (ParseError, EOFError, OSError, LookupError, ValueError, zlib.error) as error:
        raise DataError(f"{path}: not a whole XML file: {error}; download it again.") from error
    if not any_record:
        raise DataError(f"{path}: it contains no {RECORD}; give NLM's descriptor file, descYYYY.xml.")


def _descriptor(record: Element, path: Path) -> Descriptor:
    name = record.findtext("DescriptorUI", "").strip(), record.findtext("DescriptorName/String", "").strip()
    if not all(name):
        raise DataError(
            f"{path}: a {RECORD} lacks DescriptorUI or DescriptorName: {' '.join(name).strip() or 'empty'}."
        )
    terms = [(term.text or "").strip() for term in record.iterfind("ConceptList/Concept/TermList/Term/String")]
    numbers = [(number.text or "").strip() for number in record.iterfind("TreeNumberList/TreeNumber")]
    return Descriptor(*name, tuple(dict.fromkeys(terms)), tuple(filter(None, numbers)))


def _parents(descriptor: Descriptor, owner: Mapping[str, str]) -> tuple[str, ...]:
    above = [owner.get(number.rpartition(".")[0]) for number in descriptor.numbers]
    return tuple(dict.fromkeys(parent for parent in above if parent and parent != descriptor.id))


def _is_orphan(number: str, owner: Mapping[str, str]) -> bool:
    return "." in number and number.rpartition(".")[0] not in owner


def without_cycles(parents: Mapping[str, Sequence[str]]) -> tuple[dict[str, tuple[str, ...]], int]:
    """Drop every parent that would close a cycle. Return the remaining parents of each node, and how many were dropped.

    The walk follows the file's order, so the result is the same each time.
    """
    remaining: dict[str, list[str]] = {node: [] for node in parents}
    done: set[str] = set()
    # A depth-first walk upwards with its own stack, since Python's recursion is limited. `path` maps the nodes from the
    # first one to the current one to their parents not yet visited; a parent that is on the path closes a cycle.
    for first in parents:
        path: dict[str, Any] = {first: iter(parents[first])} if first not in done else {}
        while path:
            node = next(reversed(path))
            parent = next(path[node], None)
            if parent is None:
                done.add(node)
                del path[node]
            elif parent not in path:
                remaining[node].append(parent)
                if parent not in done:
                    path[parent] = iter(parents[parent])
    dropped = sum(len(parents[node]) - len(above) for node, above in remaining.items())
    return {node: tuple(above) for node, above in remaining.items()}, dropped
