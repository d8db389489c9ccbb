"""What every source of a hierarchy shares: its name and weights, and how foreign vocabularies become four levels."""

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
from duolearn_cli.config.settings import NAME, setting
from duolearn_cli.errors import DataError

GZIP, OTHER_ARCHIVES = b"\x1f\x8b", (b"BZh", b"\xfd7zXZ", b"PK\x03\x04", b"\x28\xb5\x2f\xfd")


def depths_setting() -> list[int]:
    """Declare the setting `level_depths`: depths below a root, itself at depth 1, at which levels 1 to 4 begin."""
    return setting([1, 2, 3, 4], "depths at which levels 1 to 4 begin; a root has depth 1")


@dataclass
class HierarchySource(ABC):
    """A component that makes a hierarchy; a subclass adds its settings and `load`."""

    name: str = setting("hierarchy", "short name", pattern=NAME)
    level_weights: list[float] = setting([1.0, 1.0, 1.0, 1.0], "weight of a token by its concept's level, 1 to 4")

    @abstractmethod
    def load(self) -> Hierarchy:
        """Read and check the hierarchy. Raises DataError or ConfigError with the mend."""

    def problems(self) -> Iterator[str]:
        """What is wrong with the settings beyond their types, one line each, without the component's name."""
        weights = self.level_weights
        if len(weights) != len(LEVELS) or not all(weight >= 0 and math.isfinite(weight) for weight in weights):
            yield f"level_weights={weights}: four numbers of 0 or more are needed, for levels 1 to 4."
        depths = getattr(self, "level_depths", None)
        if depths is not None and not _ascend(depths):
            yield f"level_depths={depths}: four whole numbers are needed, the first 1, none less than the one before."


def _ascend(depths: Sequence[int]) -> bool:
    return len(depths) == len(LEVELS) and depths[0] == 1 and all(low <= high for low, high in pairwise(depths))


def given_file(path: str | None) -> Path:
    """Return the file that `path` names. Raises DataError where there is none."""
    if not path:
        raise DataError("hierarchy.path is not set: name the vocabulary's file, hierarchy.path=FILE.")
    try:
        return existing(Path(path).expanduser())
    except (OSError, RuntimeError) as error:  # a name too long, a user that does not exist
        raise DataError(f"hierarchy.path={path}: {getattr(error, 'strerror', None) or error}.") from error


def opened(path: Path) -> BinaryIO:
    """Open a plain or gzip-compressed file, told apart by content. Raises DataError for other archives."""
    with path.open("rb") as file:
        start = file.read(6)
    if start.startswith(OTHER_ARCHIVES):
        raise DataError(f"{path}: this is an archive of a kind that is not read; unpack it, or use gzip.")
    return cast(BinaryIO, gzip.open(path) if start.startswith(GZIP) else path.open("rb"))


def depths(parents: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return each node's fewest steps to a root, plus one. What only a cycle leads to is left out."""
    children: dict[str, list[str]] = {}
    for node, above in parents.items():
        for parent in above:
            children.setdefault(parent, []).append(node)
    layer, depth = [node for node, above in parents.items() if not above], 1
    found: dict[str, int] = {}
    while layer:
        found |= dict.fromkeys(layer, depth)
        layer = list(dict.fromkeys(child for node in layer for child in children.get(node, ()) if child not in found))
        depth += 1
    return found


def level_of(depth: int, level_depths: Sequence[int]) -> int:
    """Return the highest level that has begun at `depth`."""
    return sum(first <= depth for first in level_depths)


def with_levels_by_depth(concepts: Sequence[Concept], level_depths: Sequence[int]) -> list[Concept]:
    """Give every concept the level of its depth, and never one above a parent's."""
    known = depths({concept.id: concept.parents for concept in concepts})
    return raised([replace(c, level=level_of(known.get(c.id, 1), level_depths)) for c in concepts])


def raised(concepts: Sequence[Concept]) -> list[Concept]:
    """Lower concepts in the tree, raise their level number, where it is less than a parent's.

    Cycles and unknown parents are left as they are: the hierarchy refuses them with a message.
    """
    by_id = {concept.id: concept for concept in concepts}
    try:
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
    """Make a hierarchy of a vocabulary that shares terms between concepts; its notes tell what was changed."""
    if not concepts:
        raise DataError(f"{source}: no concept is left; is this the right file, and do the settings leave any?")
    settled, done = settle(concepts)
    return Hierarchy(settled, source, [*notes, *done])
