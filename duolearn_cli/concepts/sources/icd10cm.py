"""ICD-10-CM, the clinical classification of diseases of the United States, through the package simple-icd-10-cm."""

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
    """Chapters, blocks, categories and codes, with their descriptions as names and inclusion terms as synonyms.

    The classification's four kinds are the four levels: chapters 1, blocks 2, categories (F40) 3, the codes below them
    (F40.1, F40.11) 4. A block of one category is that category. Codes that a seventh character extends by the encounter
    are left out: they name nothing new.
    """

    name: str = setting("icd10cm", "short name", pattern=NAME)

    def load(self) -> Hierarchy:
        """Read the classification that the package holds. Raises DataError where it is not installed."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of how it reads its own data
                import simple_icd_10_cm as icd
        except ImportError as error:
            raise DataError(
                "hierarchy=icd10cm needs the library simple-icd-10-cm; run: pip install 'duolearn[hierarchies]'"
            ) from error
        codes = list(dict.fromkeys(icd.get_all_codes(True)))
        used = [code for code in codes if not icd.is_extended_subcategory(code)]
        notes = [f"{len(codes) - len(used):,} codes left out that only add an encounter"]
        return imported(raised([_concept(icd, code) for code in used]), "ICD-10-CM", notes)


def _concept(icd: Any, code: str) -> Concept:
    parent = icd.get_parent(code)
    if parent == code:  # a block of one category, which stands for both
        parent = icd.get_parent(code, True)
    name = _RANGE.sub("", icd.get_description(code)).strip()
    return Concept(code, _level(icd, code), name, (parent,) if parent else (), tuple(icd.get_inclusion_term(code)))


def _level(icd: Any, code: str) -> int:
    if icd.is_chapter(code):
        return 1
    if icd.is_category(code):
        return 3
    return 2 if icd.is_block(code) else 4
