"""ICD-10-CM, the United States' clinical classification of diseases, from the package simple-icd-10-cm."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import Any

from duolearn_cli.concepts.concept import Concept
from duolearn_cli.concepts.hierarchy import Hierarchy
from duolearn_cli.concepts.sources.base import HierarchySource, imported, raised
from duolearn_cli.config.settings import NAME, setting
from duolearn_cli.errors import DataError

# A chapter's or block's description ends in its range of codes: "Mental disorders (F01-F99)".
_RANGE = re.compile(r"\s*\([A-Z]\w+(-[A-Z]\w+)?\)$")


@dataclass
class Icd10Cm(HierarchySource):
    """ICD-10-CM as a hierarchy: descriptions are names, inclusion terms are synonyms.

    Its four kinds of entries are the four levels: chapters are level 1, blocks 2, categories (F40) 3, and the codes
    below them (F40.1, F40.11) 4. A block with a single category has the category's code; the two become one concept.
    Codes whose seventh character only adds the encounter are left out, because they name nothing new.
    """

    name: str = setting("icd10cm", "short name", pattern=NAME)

    def load(self) -> Hierarchy:
        """Read the classification from the package. Raises DataError if the package is not installed."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # from how the package reads its own data
                import simple_icd_10_cm as icd
        except ImportError as error:
            raise DataError(
                "hierarchy=icd10cm needs the library simple-icd-10-cm; run: pip install 'duolearn[hierarchies]'"
            ) from error
        codes = list(dict.fromkeys(icd.get_all_codes(True)))
        used = [code for code in codes if not icd.is_extended_subcategory(code)]
        notes = [f"{len(codes) - len(used):,} codes left out: they only add an encounter"]
        return imported(raised([_concept(icd, code) for code in used]), "ICD-10-CM", notes)


def _concept(icd: Any, code: str) -> Concept:
    parent = icd.get_parent(code)
    if parent == code:  # a block of one category has the same code: take the parent of the block
        parent = icd.get_parent(code, True)
    name = _RANGE.sub("", icd.get_description(code)).strip()
    return Concept(code, _level(icd, code), name, (parent,) if parent else (), tuple(icd.get_inclusion_term(code)))


def _level(icd: Any, code: str) -> int:
    if icd.is_chapter(code):
        return 1
    if icd.is_category(code):
        return 3
    return 2 if icd.is_block(code) else 4
