"""Ontologies such as MONDO or HPO, in OBO, OBO graph JSON or OWL (RDF/XML), read with the library pronto."""

from __future__ import annotations

import os
import sys
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duolearn_cli.concepts.concept import Concept
from duolearn_cli.concepts.hierarchy import Hierarchy
from duolearn_cli.concepts.sources.base import (
    HierarchySource,
    depths_setting,
    imported,
    opened,
    required_file,
    with_levels_by_depth,
)
from duolearn_cli.config.settings import NAME, setting
from duolearn_cli.errors import DataError, nearest

SCOPES = ("EXACT", "BROAD", "NARROW", "RELATED")


@dataclass
class Obo(HierarchySource):
    """An ontology's terms as a hierarchy, with their is_a parents and the synonyms of the chosen `scopes`.

    A term's depth is the fewest is_a steps to a term without parents, plus one. `level_depths` says at which depth each
    level begins, and levels are raised so that none is less than a parent's. Many ontologies have one root and a few
    groups below it. With the defaults the root is level 1, the groups are level 2, their children level 3 and the rest
    level 4.

    Obsolete terms are left out. So are terms whose name stands in another ontology, because imports are not followed.
    """

    name: str = setting("obo", "short name", pattern=NAME)
    path: str | None = setting(None, "OBO, OBO graph JSON or OWL file, plain or gzip")
    scopes: list[str] = setting(["EXACT"], "kinds of synonyms: EXACT, BROAD, NARROW, RELATED")
    level_depths: list[int] = depths_setting()

    def load(self) -> Hierarchy:
        """Read the file; nothing is downloaded. Raises DataError if the file cannot be used or pronto is missing."""
        path = required_file(self.path)
        every = list(_ontology(path).terms())
        used = [term for term in every if term.name and not term.obsolete]
        ids = {term.id for term in used}
        concepts = [self._concept(term, ids) for term in used]
        left_out = len(every) - len(used)
        notes = [f"{left_out:,} terms left out: obsolete, or named in another ontology"] if left_out else []
        return imported(with_levels_by_depth(concepts, self.level_depths), path.name, notes)

    def problems(self) -> Iterator[str]:
        """Yield faults of the settings: a scope must be one of OBO's four."""
        yield from super().problems()
        for scope in self.scopes:
            if scope not in SCOPES:
                hint = nearest(scope.upper(), SCOPES)
                yield f"scopes: {scope!r} is not a kind of synonym; allowed: {', '.join(SCOPES)}{hint}."

    def _concept(self, term: Any, ids: set[str]) -> Concept:
        above = (parent.id for parent in term.superclasses(distance=1, with_self=False))
        parents = sorted({parent for parent in above if parent in ids})
        synonyms = sorted(s.description.strip() for s in term.synonyms if s.scope in self.scopes)
        return Concept(term.id, 1, term.name.strip(), tuple(parents), tuple(synonyms))


def _ontology(path: Path) -> Any:
    try:
        import pronto
    except ImportError as error:
        raise DataError("hierarchy=obo needs the library pronto; run: pip install 'duolearn[hierarchies]'") from error
    _refuse_entities(path)
    try:
        with warnings.catch_warnings(), _quiet():
            warnings.simplefilter("ignore")  # they are about parts of an ontology that are not used here
            # One thread, so that terms always come in the same order: the first of two concepts gets a shared synonym.
            return pronto.Ontology(str(path), import_depth=0, encoding="utf-8", threads=1)
    except KeyError as error:
        raise DataError(
            f"{path}: it refers to the term {error} but does not contain it; give the ontology merged with its imports."
        ) from error
    except (KeyboardInterrupt, SystemExit):
        raise
    # The errors of pronto's parsers have no common base class; a panic of the one in Rust is not even an Exception.
    except BaseException as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise DataError(f"{path}: cannot be read as OBO, OBO graph JSON or OWL: {reason}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the process's stderr silent: a panic in Rust prints a report there before it can be caught."""
    if sys.stderr is None:  # the process was started without one
        yield
        return
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _refuse_entities(path: Path) -> None:
    """Refuse an XML file that declares entities, because pronto would expand them (the "billion laughs" attack).

    Entities can only be declared before the first element, so nothing beyond it is read.
    """
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import iterparse

    with opened(path) as file:
        try:
            if not file.read(512).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
                return
            file.seek(0)
            next(iterparse(file, events=("start",), forbid_dtd=False, forbid_entities=True, forbid_external=True))
        except DefusedXmlException as error:
            raise DataError(
                f"{path}: it declares XML entities, which are refused; save the ontology as OBO, or as OWL without "
                "entities."
            ) from error
        except (SyntaxError, StopIteration, EOFError, OSError, LookupError, ValueError, zlib.error) as error:
            raise DataError(f"{path}: not a complete OWL file: {error}.") from error
