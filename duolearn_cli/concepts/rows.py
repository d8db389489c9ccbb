"""Read and write concepts as rows of a text table: the project's own tab-separated format, or a user's columns."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from duolearn_cli.concepts.concept import LEVELS, Concept
from duolearn_cli.concepts.context import Context, split_context, unmarked
from duolearn_cli.concepts.validation import listed
from duolearn_cli.errors import DataError, nearest
from duolearn_cli.files import checked_file, read_bytes

SHOWN = 200  # characters of a row or header in a message
COLUMNS = ("id", "level", "parents", "name", "synonyms", "subjects")


@dataclass(frozen=True, slots=True)
class Layout:
    """How a table is laid out. The defaults, with `contexts=True`, are the project's own format.

    `columns` maps concept fields to the file's columns; a field without a column (None) stays empty.
    With `contexts` a term may end in a context in braces (context.py). Only the project's own format has contexts.
    """

    columns: Mapping[str, str | None] = field(default_factory=lambda: {name: name for name in COLUMNS})
    delimiter: str = "\t"
    separator: str = "|"
    encoding: str = "utf-8"
    quoting: bool = False
    contexts: bool = False


def existing(path: Path) -> Path:
    """Return `path` if it is a file.

    Raises:
        DataError: the path is a folder, or there is no file.
    """
    if path.is_dir():
        raise DataError(f"hierarchy.path={path}: this is a folder; give the path of one file in it.")
    if path.exists():
        return checked_file(path, DataError)
    if not path.is_file():
        raise DataError(f"hierarchy file {path} does not exist. Give hierarchy.path=FILE or use hierarchy=medical4.")
    return path


def read_concepts(path: Path, layout: Layout | None = None) -> list[Concept]:
    """Read one concept from each row. Without a column for it a concept's level is 0, for the caller to fill in.

    Raises:
        DataError: the file is missing, cannot be decoded or lacks a column, or rows cannot be used. The message lists
            all unusable rows with their lines.
    """
    layout = layout or Layout(contexts=True)
    concepts: list[Concept] = []
    problems: list[str] = []
    try:
        for number, row in _rows(existing(path), layout):
            fault = _fault(row, layout)
            if fault:
                problems.append(f"line {number}: {fault}")
                continue
            try:
                concepts.append(_concept(row, number, layout))
            except ValueError as error:
                problems.append(f"line {number}: {error}")
    except csv.Error as error:
        problems.append(f"not a table from there on: {error}; look for a quote that is not closed or not doubled")
    # All rows before any error: a file with fifty faults is fixed in one go.
    if problems:
        raise DataError(f"{path}: {len(problems)} rows cannot be read:{listed(problems)}")
    if not concepts:
        raise DataError(f"{path}: the file holds no concept; give a file with at least one row below the header.")
    return concepts


def _text(path: Path, encoding: str) -> str:
    data = read_bytes(path, DataError)
    try:
        # Spreadsheets put a byte order mark before UTF-8, which would become part of the first column's name.
        codec = codecs.lookup(encoding).name
        return data.decode("utf-8-sig" if codec == "utf-8" else codec)
    except UnicodeDecodeError as error:
        name = "UTF-8" if encoding == "utf-8" else encoding
        raise DataError(f"{path}: not {name} at byte {error.start}; save the file as UTF-8.") from error
    except (LookupError, ValueError) as error:
        # Python also knows encodings that never decode (undefined), or that need other text than this (punycode).
        raise DataError(
            f"{path}: hierarchy.encoding={encoding[:40]!r} is unknown or does not fit; examples: utf-8, cp1252, utf-16."
        ) from error


def _rows(path: Path, layout: Layout) -> Iterator[tuple[int, dict[str | None, str | None]]]:
    """Yield (line number, row). csv.DictReader files extra cells under the key None, and missing ones as None."""
    with io.StringIO(_text(path, layout.encoding), newline="") as file:
        # The project's own format is written without quoting (`as_tsv`), so a quote in it is part of a term.
        quoting = csv.QUOTE_MINIMAL if layout.quoting else csv.QUOTE_NONE
        reader = csv.DictReader(file, delimiter=layout.delimiter, quoting=quoting, strict=layout.quoting)
        _check_header(path, list(reader.fieldnames or ()), layout)
        for row in reader:
            yield reader.line_num, row


def _check_header(path: Path, header: Sequence[str], layout: Layout) -> None:
    needed = [column for column in layout.columns.values() if column is not None]
    missing = [column for column in needed if column not in header]
    if missing:
        hints = "".join(nearest(column, header) for column in missing[:1])
        raise DataError(
            f"{path}: missing columns {missing}{hints}; the header must have {', '.join(needed)}, separated by "
            f"{layout.delimiter!r}; found: {', '.join(header)[:SHOWN] or 'nothing'}."
        )
    repeated = [column for column in needed if header.count(column) > 1]
    if repeated:
        raise DataError(f"{path}: the header names {repeated[0]!r} more than once; rename one of the columns.")


def _fault(row: Mapping[str | None, str | None], layout: Layout) -> str:
    """Return why a row makes no concept, or an empty string."""
    if None in row or None in row.values():
        return f"{len(row)} columns are needed, found {'more' if None in row else 'fewer'}: {_shown(row)}"
    for name in ("id", "name"):
        if not _cell(row, layout, name).strip():
            return f"a concept needs an id and a name, found {_shown(row)}"
    level = _cell(row, layout, "level")
    if layout.columns.get("level") and level.strip() not in map(str, LEVELS):
        return f"a level is 1, 2, 3 or 4, found {level!r}"
    return ""


def _shown(row: Mapping[str | None, str | None]) -> str:
    return str([value for value in row.values() if value is not None])[:120]


def _cell(row: Mapping[str | None, str | None], layout: Layout, name: str) -> str:
    column = layout.columns.get(name)
    return (row.get(column) if column else None) or ""


def _split(row: Mapping[str | None, str | None], layout: Layout, name: str) -> tuple[str, ...]:
    cell = _cell(row, layout, name)
    return tuple(part.strip() for part in cell.split(layout.separator) if part.strip()) if cell else ()


def _terms(row: Mapping[str | None, str | None], layout: Layout) -> list[tuple[str, Context | None]]:
    """Return the name and then the synonyms, each with its context or None."""
    terms = (_cell(row, layout, "name").strip(), *_split(row, layout, "synonyms"))
    return [split_context(term) if layout.contexts else (term, None) for term in terms]


def _concept(row: Mapping[str | None, str | None], number: int, layout: Layout) -> Concept:
    """Return the concept of a row. Raises ValueError if a context cannot be read."""
    (name, _), *synonyms = terms = _terms(row, layout)
    return Concept(
        _cell(row, layout, "id").strip(),
        int(_cell(row, layout, "level").strip() or 0),
        name,
        _split(row, layout, "parents"),
        tuple(synonym for synonym, _ in synonyms),
        _split(row, layout, "subjects"),
        tuple((term, context) for term, context in terms if context),
        number,
    )


def as_tsv(concepts: Iterable[Concept]) -> str:
    """Return the concepts as a table in the project's own format, which `read_concepts` reads back.

    In a term, white space becomes one space, ``|`` (the separator) becomes a slash, and braces at the end that are not
    a context become parentheses.

    Raises:
        DataError: the format cannot hold an id or a subject, because it contains a tab, a line end or ``|``.
    """
    lines = ["\t".join(COLUMNS)]
    problems: list[str] = []
    for concept in concepts:
        # Ids and subjects are compared exactly elsewhere, so they must not be changed as terms are.
        for value in (concept.id, *concept.subjects):
            if value != value.strip() or any(char in value for char in "\t\r\n|"):
                problems.append(f"{concept.id!r}: {value!r} cannot stand in a tab-separated file with | between values")
        name, *marked = (f"{_plain(term)}{concept.context(term) or ''}" for term in concept.terms)
        parents, synonyms, subjects = ("|".join(values) for values in (concept.parents, marked, concept.subjects))
        lines.append("\t".join([concept.id, str(concept.level), parents, name, synonyms, subjects]))
    if problems:
        raise DataError(f"{len(problems)} concepts cannot be written:{listed(problems)}")
    return "\n".join(lines) + "\n"


def _plain(term: str) -> str:
    return unmarked(" ".join(term.replace("|", "/").split()))
