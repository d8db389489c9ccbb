"""Read the rows of a table file in any format, with a message of its own for each way in which a file can be broken."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from duolearn_cli.data.cleaning import UNUSABLE
from duolearn_cli.data.items import Rejected
from duolearn_cli.data.readers.json_records import read_json
from duolearn_cli.data.readers.row import Entry, Row, malformed
from duolearn_cli.errors import DataError, nearest
from duolearn_cli.files import checked_file, expanded, read_bytes, reason

# What to do with other kinds of files.
_FIXES = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods"), "save the sheet as CSV (UTF-8)"),
    **dict.fromkeys((".gz", ".zip", ".bz2", ".xz", ".zst"), "unpack it"),
    ".txt": "rename it by its content, to .csv, .tsv or .jsonl",
    ".arrow": "save it as Parquet",
}
# Column separators to try if the header does not contain the usual one.
_SEPARATORS = ",;\t|"
_SAMPLE_BYTES = 200_000  # bytes from which an encoding is guessed


def rows(path: str | Path, *, encoding: str = "utf-8") -> Iterator[Entry]:
    """Yield the records of a CSV, TSV, JSON or Parquet file; the extension decides which it is.

    Raises:
        DataError: the file is missing, has an unknown extension, cannot be decoded, or has no record.
    """
    file = table_file(path)
    empty = True
    for entry in _READERS[file.suffix.lower()](file, encoding):
        empty = False
        yield _check_text(entry, str(file)) if isinstance(entry, Row) else entry
    if empty:
        raise DataError(f"{file}: the file has no record. Give a file with at least one.")


def table_file(path: str | Path) -> Path:
    """The file at `path`. Raises DataError where there is none, or one with an unknown extension."""
    file = expanded(path, "dataset.path")
    suffix = file.suffix.lower()
    if suffix not in _READERS:
        fix = f" Please {_FIXES[suffix]}." if suffix in _FIXES else ""
        raise DataError(f"{file}: unknown extension {suffix!r}; allowed: {', '.join(_READERS)}.{fix}")
    try:
        _require_file(file)
    except (OSError, ValueError) as error:
        raise DataError(f"dataset.path={file}: cannot be read: {reason(error)}.") from error
    return file


# The fix for readers whose columns have defaults: users may not know that there is a mapping.
MAP = " Name your columns with dataset.fields.FIELD=COLUMN."


def require_columns(path: str | Path, entries: Sequence[Entry], needed: Sequence[str], fix: str = "") -> None:
    """Refuse a file that has no readable record, or that lacks one of the `needed` columns in all records.

    `fix` is added to the message about a missing column.

    Raises:
        DataError: the message names the missing, the needed and the found columns, or the fault of the first record.
    """
    if isinstance(first := entries[0], Rejected) and not any(isinstance(entry, Row) for entry in entries):
        raise DataError(f"{path}: none of {len(entries)} records can be read. Row {first.row}: {first.detail}.")
    columns = list(dict.fromkeys(name for entry in entries if isinstance(entry, Row) for name in entry.values))
    missing = [name for name in needed if name not in columns]
    if missing:
        raise DataError(
            f"{path}: no column {missing[0]!r}{nearest(missing[0], columns)}. "
            f"Needed: {', '.join(needed)}. Found: {', '.join(columns)}.{fix}"
        )


def _require_file(file: Path) -> None:
    if file.is_dir():
        raise DataError(f"{file}: this is a folder; give the path of one file in it.")
    if file.exists() or file.is_symlink():
        checked_file(file, DataError)
    elif not file.parent.is_dir():
        raise DataError(f"{file}: no such file, and no folder {file.parent} either.")
    else:
        raise DataError(f"{file}: no such file{nearest(file.name, [entry.name for entry in file.parent.iterdir()])}.")


def _check_text(row: Row, source: str) -> Entry:
    """Reject a row with text that later steps cannot hash, tokenise or write: a NUL or a lone surrogate."""
    for column, value in row.values.items():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, str) and UNUSABLE.search(part):
                detail = f"column {column!r} contains a NUL or a lone surrogate: {part[:40]!r}"
                return Rejected(source, row.number, None, "malformed_row", detail)
    return row


def read_text(file: Path, encoding: str) -> str:
    """Decode a file strictly, because replacement characters would be learned. utf-8 drops a byte order mark.

    Raises:
        DataError: the encoding is unknown or wrong; the message proposes one that fits.
    """
    data = read_bytes(file, DataError)
    try:
        codec = codecs.lookup(encoding).name
        text = data.decode("utf-8-sig" if codec == "utf-8" else codec)
    except (LookupError, ValueError) as error:
        if isinstance(error, UnicodeDecodeError):
            raise _undecodable(file, encoding, data, error) from error
        # Python also knows encodings that never decode (undefined), or that need other text than this (punycode).
        raise DataError(
            f"{file}: dataset.encoding={encoding[:40]!r} is unknown, or does not fit; examples: utf-8, cp1252, utf-16."
        ) from error
    if text[1:2] == "\0" or text[:1] == "\0":  # ASCII text in UTF-16 is valid UTF-8 with a NUL beside every letter
        wide = "utf-16-be" if text[:1] == "\0" else "utf-16-le"
        raise DataError(f"{file}: not {encoding} but {wide}: set dataset.encoding={wide}, or save the file as UTF-8.")
    return text


def _undecodable(file: Path, encoding: str, data: bytes, error: UnicodeDecodeError) -> DataError:
    offset = error.start + len(data) - len(error.object)  # the codec counts from behind the byte order mark
    return DataError(f"{file}: not {encoding}: byte {data[offset]:#04x} at offset {offset:,}. {_guess(data, offset)}")


def _guess(data: bytes, offset: int) -> str:
    from charset_normalizer import from_bytes

    # A sample, because megabytes take seconds; around the offending byte, because the rest may be plain ASCII.
    start = max(0, offset - _SAMPLE_BYTES // 2)
    best = from_bytes(data[start : start + _SAMPLE_BYTES]).best()
    if best is None:
        return "No encoding fits; is this a text file? Save it as UTF-8, or name its encoding with dataset.encoding."
    return f"It looks like {best.encoding}: set dataset.encoding={best.encoding}, or save the file as UTF-8."


def _csv(file: Path, encoding: str) -> Iterator[Entry]:
    # strict, so that an unclosed quote is reported; otherwise the rest of the file would become one cell.
    text = read_text(file, encoding)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(file, text), strict=True)
    header = _header(file, reader)
    # Rows are counted as a spreadsheet does: the header is row 1, and line breaks in a cell do not count.
    number = 1
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield malformed(file, number, f"not CSV: {error}; look for a quote that is not closed or not doubled")
            continue
        if len(cells) == len(header):
            yield Row(number, dict(zip(header, cells, strict=True)))
        elif cells:
            yield malformed(file, number, f"{len(cells)} columns, but the header has {len(header)}")


def _separator(file: Path, text: str) -> str:
    """Return the column separator: a comma, or a tab for .tsv, if the header contains it.

    Otherwise it is the most frequent other one in the header: some spreadsheets write semicolons.
    """
    usual = "\t" if file.suffix.lower() == ".tsv" else ","
    header = text.lstrip("\r\n").partition("\n")[0]
    if usual in header:
        return usual
    return max(_SEPARATORS, key=header.count) if any(char in header for char in _SEPARATORS) else usual


def _header(file: Path, reader: Iterator[list[str]]) -> list[str]:
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise DataError(f"{file}: the header, row 1, is not CSV: {error}.") from error
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise DataError(f"{file}: the header, row 1, names {repeated[0]!r} more than once; rename one of the columns.")
    return header


def _json(file: Path, encoding: str) -> Iterator[Entry]:
    yield from read_json(file, read_text(file, encoding))


def _parquet(file: Path, _encoding: str) -> Iterator[Entry]:
    """Yield the records of a Parquet file; it has its own encoding."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(f"{file}: reading Parquet needs pyarrow; run `pip install pyarrow`.") from error
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            for batch in table.iter_batches():
                for values in batch.to_pylist():
                    number += 1
                    yield Row(number, values)
    except (pyarrow.ArrowException, OSError, ValueError) as error:  # ValueError: text that is not UTF-8
        raise DataError(f"{file}: not a readable Parquet file: {error}") from error


_READERS = {
    ".csv": _csv,
    ".tsv": _csv,
    ".jsonl": _json,
    ".ndjson": _json,
    ".json": _json,  # MedMCQA's authors give JSON lines this extension
    ".parquet": _parquet,
}
