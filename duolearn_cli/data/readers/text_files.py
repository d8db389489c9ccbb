"""Read plain text files, one document each."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from duolearn_cli.data.items import Rejected
from duolearn_cli.data.readers.document_rows import RawDocument
from duolearn_cli.data.readers.row_notes import Notes
from duolearn_cli.data.readers.tabular import read_text
from duolearn_cli.errors import DataError

ENDING = ".txt"


def is_text(path: str | Path) -> bool:
    """Whether the path is one that `text_files` reads: a folder or a .txt file."""
    file = Path(path).expanduser()
    return file.is_dir() or file.suffix.lower() == ENDING


def text_files(path: str | Path, encoding: str, notes: Notes) -> Iterator[RawDocument | Rejected]:
    """Yield one document for a .txt file, or for each in a folder and the folders below it, in the order of names.

    A document's id is the file's name, from the folder on. Its row is its number.

    Raises:
        DataError: there is no such file, the folder has no .txt file, or the encoding is unknown.
    """
    _check_encoding(encoding)
    root = Path(path).expanduser()
    for number, file in enumerate(_files(root, notes), start=1):
        name = file.relative_to(root).as_posix() if root.is_dir() else file.name
        try:
            text = read_text(file, encoding)
        except DataError as error:
            # One file in another encoding does not spoil a folder of thousands.
            detail = str(error).removeprefix(f"{file}: ").rstrip(".")
            yield Rejected(str(root), number, name, "not_decodable", f"{name}: {detail}")
            continue
        yield RawDocument(str(root), number, name, text)


def _files(root: Path, notes: Notes) -> list[Path]:
    if not root.is_dir():
        if not root.is_file():
            raise DataError(f"{root}: no such file or folder.")
        return [root]
    every = sorted(file for file in root.rglob("*") if file.is_file() and not file.name.startswith("."))
    texts = [file for file in every if file.suffix.lower() == ENDING]
    if not texts:
        held = ", ".join(file.name for file in every[:3]) or "nothing"
        raise DataError(f"{root}: the folder has no {ENDING} file; it holds {held}. Name a table file itself.")
    if len(every) > len(texts):
        notes.add(f"{len(every) - len(texts)} files of the folder are left out: they are not {ENDING} files")
    return texts


# An unknown name would otherwise reject each file for itself.
def _check_encoding(encoding: str) -> None:
    try:
        codecs.lookup(encoding)
    except LookupError as error:
        raise DataError(f"dataset.encoding={encoding!r} is unknown; examples: utf-8, cp1252, utf-16.") from error
