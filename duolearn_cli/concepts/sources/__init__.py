"""Where a concept hierarchy comes from, one module for each format.

A source of your own takes what it needs from here: ``from duolearn_cli.concepts.sources import Concept, imported``.
"""

from duolearn_cli.concepts.concept import LEVELS, Concept
from duolearn_cli.concepts.hierarchy import Hierarchy
from duolearn_cli.concepts.sources.base import (
    HierarchySource,
    depths_setting,
    imported,
    opened,
    raised,
    required_file,
    with_levels_by_depth,
)
from duolearn_cli.config.settings import NAME, setting
from duolearn_cli.errors import DataError

__all__ = [
    "LEVELS",
    "NAME",
    "Concept",
    "DataError",
    "Hierarchy",
    "HierarchySource",
    "depths_setting",
    "imported",
    "opened",
    "raised",
    "required_file",
    "setting",
    "with_levels_by_depth",
]
