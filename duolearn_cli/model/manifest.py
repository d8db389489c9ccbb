"""The manifest of a folder: checksums of its files, written last, by which damage is noticed before it is used."""

from __future__ import annotations

import os
from pathlib import Path

from duolearn_cli.errors import UserError
from duolearn_cli.files import file_hash, read_json, sync_folder, write_json

FILE = "manifest.json"
SCHEMA = 1


def seal(folder: Path) -> None:
    """Make the files of a folder durable, and write their checksums. Call it when nothing else will be written there.

    A power cut after it leaves the folder as it is now; the caller renames it and syncs the folder above.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != FILE)
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    write_json(folder / FILE, {"schema": SCHEMA, "sha256": {path.name: file_hash(path) for path in files}})
    sync_folder(folder)


def moved_into_place(part: Path, final: Path) -> None:
    """Seal a finished folder and give it its name."""
    seal(part)
    part.rename(final)
    sync_folder(final.parent)


def damage(folder: Path) -> str | None:
    """Say what is wrong with the files that the manifest names; None where all are right.

    A folder of an older version has no manifest: nothing is known about it.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        found = read_json(path)
    except UserError as error:
        return str(error)
    known = found.get("sha256") if isinstance(found, dict) else None
    if not isinstance(known, dict) or found.get("schema") != SCHEMA:
        return f"{FILE} has no checksums of schema {SCHEMA}"
    return next((fault for name in sorted(known) if (fault := _fault(folder / name, known[name]))), None)


def _fault(path: Path, expected: object) -> str | None:
    try:
        if not path.is_file():
            return f"{path.name} is missing"
        return None if file_hash(path) == expected else f"{path.name} is not as it was written (its checksum differs)"
    except OSError as error:
        return f"{path.name} cannot be read ({error.strerror})"
