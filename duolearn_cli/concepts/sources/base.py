"""The base class of hierarchy sources, and helpers that give a foreign vocabulary four levels and unique terms."""

from __future__ import annotations

import gzip
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, cast

from duolearn_cli.concepts.concept import LEVELS, Concept
from duolearn_cli.concepts.hierarchy import Hierarchy
from duolearn_cli.concepts.rows import existing
from duolearn_cli.concepts.validation import settle
from duolearn_cli.config.settings import NAME, setting, with_rule
from duolearn_cli.errors import DataError

MAX_WEIGHT = 1_000_000
# The first bytes of a file: gzip, which is read; bzip2, xz, zip and zstd, which are not.
GZIP, OTHER_ARCHIVES = b"\x1f\x8b", (b"BZh", b"\xfd7zXZ", b"PK\x03\x04", b"\x28\xb5\x2f\xfd")


def depths_setting() -> list[int]:
    """Declare the setting `level_depths`: the depths at which levels 1 to 4 begin. A root has depth 1."""
    depths = setting([1, 2, 3, 4], "depths at which levels 1 to 4 begin; a root has depth 1")
    return with_rule(depths, _wrong_depths)


@dataclass
class HierarchySource(ABC):
    """The base class of a component that makes a hierarchy. A subclass adds its settings and `load`."""

    name: str = setting("hierarchy", "short name", pattern=NAME)
    level_weights: list[float] = setting([1.0, 1.0, 1.0, 1.0], "weight of a token by its concept's level, 1 to 4")

    @abstractmethod
    def load(self) -> Hierarchy:
        """Read and check the hierarchy.

        Raises:
            DataError or ConfigError: the source or a setting cannot be used; the message says how to fix it.
        """

    def problems(self) -> Iterator[str]:
        """Yield faults of the settings that their types do not exclude, one line each, without the component's name."""
        weights = self.level_weights
        if len(weights) != len(LEVELS) or not all(weight >= 0 and math.isfinite(weight) for weight in weights):
            yield f"level_weights={weights}: four numbers of 0 or more are needed, for levels 1 to 4."
        elif not any(weights) or max(weights) > MAX_WEIGHT:
            yield f"level_weights={weights}: they must not all be 0, and none more than {MAX_WEIGHT:,}."


def _wrong_depths(depths: Sequence[int]) -> str:
    ascend = len(depths) == len(LEVELS) and depths[0] == 1 and all(low <= high for low, high in pairwise(depths))
    return "" if ascend else "four whole numbers are needed, the first 1, none less than the one before."


def required_file(path: str | None) -> Path:
    """Return the file that the setting `path` names.

    Raises:
        DataError: the setting is empty, or there is no such file.
    """
    if not path:
        raise DataError("hierarchy.path is not set: give the vocabulary's file, hierarchy.path=FILE.")
    try:
        return existing(Path(path).expanduser())
    except (OSError, RuntimeError) as error:  # the name is too long, or "~name" is not a user
        raise DataError(f"hierarchy.path={path}: {getattr(error, 'strerror', None) or error}.") from error


def opened(path: Path) -> BinaryIO:
    """Open a plain or gzip-compressed file for reading bytes. The content decides which it is, not the file's name.

    Raises:
        DataError: the file is another kind of archive.
    """
    with path.open("rb") as file:
        start = file.read(6)
    if start.startswith(OTHER_ARCHIVES):
        raise DataError(f"{path}: this kind of archive cannot be read; unpack it, or compress it with gzip.")
    return cast(BinaryIO, gzip.open(path) if start.startswith(GZIP) else path.open("rb"))


def depths(parents: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return the depth of each node: the fewest steps to a root, plus one. Nodes that no root leads to are left out."""
    children: dict[str, list[str]] = {}
    for node, above in parents.items():
        for parent in above:
            children.setdefault(parent, []).append(node)
    # Breadth first, so that the first depth at which a node is reached is its smallest.
    layer, depth = [node for node, above in parents.items() if not above], 1
    reached: dict[str, int] = {}
    while layer:
        reached |= dict.fromkeys(layer, depth)
        layer = list(dict.fromkeys(child for node in layer for child in children.get(node, ()) if child not in reached))
        depth += 1
    return reached


def level_of(depth: int, level_depths: Sequence[int]) -> int:
    """Return the last level that begins at `depth` or above it."""
    return sum(first <= depth for first in level_depths)


def with_levels_by_depth(concepts: Sequence[Concept], level_depths: Sequence[int]) -> list[Concept]:
    """Give every concept the level of its depth (`level_depths`), but never a level above a parent's."""
    known = depths({concept.id: concept.parents for concept in concepts})
    return raised([replace(c, level=level_of(known.get(c.id, 1), level_depths)) for c in concepts])


def raised(concepts: Sequence[Concept]) -> list[Concept]:
    """Raise each level number that is less than a parent's to the parent's.

    Cycles and unknown parents stay as they are: the constructor of Hierarchy reports them.
    """
    by_id = {concept.id: concept for concept in concepts}
    try:
        # Parents before children, so that one pass carries a raised level down the whole tree.
        order = list(TopologicalSorter({c.id: c.parents for c in concepts}).static_order())
    except CycleError:
        return list(concepts)
    levels: dict[str, int] = {}
    for node in order:
        if node in by_id:
            above = [levels[parent] for parent in by_id[node].parents if parent in levels]
            levels[node] = max([by_id[node].level, *above])
    return [replace(concept, level=levels[concept.id]) for concept in concepts]


def imported(concepts: Sequence[Concept], source: str, notes: Sequence[str] = ()) -> Hierarchy:
    """Make a hierarchy from a vocabulary whose concepts may share terms.

    Each shared term is given to one concept (`validation.settle`); the hierarchy's notes say how many terms changed.

    Raises:
        DataError: there is no concept, or the concepts make no hierarchy.
    """
    if not concepts:
        raise DataError(
            f"{source}: no concept is left; check that this is the right file and what the settings select."
        )
    settled, changes = settle(concepts)
    return Hierarchy(settled, source, [*notes, *changes])
