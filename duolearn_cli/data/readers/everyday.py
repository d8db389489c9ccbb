"""Everyday facts that most language models know before any learning: capitals, animals, sums, months, colours, ..."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from duolearn_cli.data.items import Loaded
from duolearn_cli.data.readers.embedded_tables import phrasings, read_tables

FOLDER = Path(__file__).parent / "everyday"


@dataclass
class Everyday:
    """The embedded data set of everyday facts. It has no settings, so it is the same everywhere."""

    def load(self) -> Loaded:
        """Return all phrasings of all facts."""
        return Loaded(tuple(item for fact in read_tables(FOLDER) for item in phrasings(fact, "everyday")))
