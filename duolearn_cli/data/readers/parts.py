"""Data sets that come as one file or as several named parts, such as what is forgotten and what is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from duolearn_cli.errors import DataError

HELP = "files by name instead of one path; the name becomes the subject of what a file holds"


class Part(NamedTuple):
    """One file, and the name of the part that it is; None for a data set of one file."""

    name: str | None
    path: str

    def id(self, own: str) -> str:
        """Return an id that no other part has; empty for none, which later becomes a hash of the content."""
        return f"{self.name}:{own}" if own and self.name else own


def parts_of(path: str | None, parts: Mapping[str, str], what: str) -> list[Part]:
    """Return the files to read. `what` names the data set in messages.

    Raises:
        DataError: neither a path nor parts are set, or both.
    """
    if path and parts:
        raise DataError("dataset.path and dataset.parts are both set: give the files by name, or one path.")
    if not path and not parts:
        raise DataError(
            f"{what} needs a file: set dataset.path=FILE, or its parts, "
            "+dataset.parts='{forget: FILE, retain: FILE}'."
        )
    return [Part(None, path)] if path else [Part(str(name), str(file)) for name, file in parts.items()]
