"""A hierarchy from the user's own CSV or TSV file, with a mapping from concept fields to its columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from duolearn_cli.concepts.hierarchy import Hierarchy
from duolearn_cli.concepts.rows import Layout, read_concepts
from duolearn_cli.concepts.sources.base import (
    HierarchySource,
    depths_setting,
    imported,
    required_file,
    with_levels_by_depth,
)
from duolearn_cli.config.settings import NAME, setting


@dataclass
class Columns:
    """The column of each concept field in the user's file; null if there is none."""

    id: str = setting("id", "column of the id")
    name: str = setting("name", "column of the preferred name")
    level: str | None = setting(None, "column of the level, 1 to 4; null: by depth")
    parents: str | None = setting(None, "column of the parents' ids")
    synonyms: str | None = setting(None, "column of the synonyms")
    subjects: str | None = setting(None, "column of the data labels that a concept stands for")


@dataclass
class Csv(HierarchySource):
    """A table with one concept in each row. Without a column for levels, `level_depths` derives them from the depth."""

    name: str = setting("csv", "short name", pattern=NAME)
    path: str | None = setting(None, "CSV or TSV file")
    columns: Columns = setting(Columns, "columns of the concept fields")
    level_depths: list[int] = depths_setting()
    delimiter: str = setting(",", 'what separates columns: "," or ";" or, for a tab, "\\t"')
    separator: str = setting("|", "what separates the parts of a list")
    encoding: str = setting("utf-8", "encoding of the file")

    def load(self) -> Hierarchy:
        """Read and check the file. Raises a DataError that lists every unusable row with its line."""
        path = required_file(self.path)
        delimiter = self.delimiter.replace("\\t", "\t")  # a shell passes a tab as the two characters \t
        concepts = read_concepts(path, Layout(asdict(self.columns), delimiter, self.separator, self.encoding, True))
        if not self.columns.level:
            concepts = with_levels_by_depth(concepts, self.level_depths)
        return imported(concepts, path.name)

    def problems(self) -> Iterator[str]:
        """Yield faults of the settings: the delimiter must be one character, and the separator must not be empty."""
        yield from super().problems()
        if len(self.delimiter.replace("\\t", "\t")) != 1 or self.delimiter in '"\r\n':
            yield f"delimiter={self.delimiter!r}: one character is needed, and not a quote or a line end."
        if not self.separator:
            yield "separator is empty: give what separates the parts of a list, such as |."
