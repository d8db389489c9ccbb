"""All formats give the same rows, and every way in which a file can be broken has its own message."""

from __future__ import annotations

import codecs
import json
import sys
from pathlib import Path

import pytest

from duolearn_cli.data.items import Rejected
from duolearn_cli.data.readers.tabular import Row, require_columns, rows
from duolearn_cli.errors import DataError

RECORDS = [{"id": "a", "text": "naïve, “quoted”"}, {"id": "b", "text": "two\nlines\u2028three"}]


def write(folder: Path, name: str, content: str | bytes) -> Path:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def write_parquet(file: Path) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(RECORDS), file)
    return file


def make(folder: Path, suffix: str) -> Path:
    """Write a file of RECORDS in the format of `suffix`."""
    quoted = [[f'"{value}"' for value in record.values()] for record in RECORDS]
    lines = [json.dumps(record, ensure_ascii=False) for record in RECORDS]
    texts = {
        ".csv": "id,text\n" + "".join(",".join(cells) + "\n" for cells in quoted),
        ".tsv": "id\ttext\r\n" + "".join("\t".join(cells) + "\r\n" for cells in quoted),
        ".jsonl": "\n".join(lines),
        ".ndjson": "\r\n".join(lines) + "\r\n\r\n",
        ".json": json.dumps(RECORDS, indent=1),
    }
    return write_parquet(folder / "t.parquet") if suffix == ".parquet" else write(folder, f"t{suffix}", texts[suffix])


@pytest.mark.parametrize(
    ("suffix", "numbers"),
    [
        (".csv", [2, 3]),
        (".tsv", [2, 3]),
        (".jsonl", [1, 2]),
        (".ndjson", [1, 2]),
        (".json", [1, 2]),
        (".parquet", [1, 2]),
    ],
)
def test_formats_agree(tmp_path: Path, suffix: str, numbers: list[int]) -> None:
    assert list(rows(make(tmp_path, suffix))) == [
        Row(number, record) for number, record in zip(numbers, RECORDS, strict=True)
    ]


def test_json_lines_under_the_extension_json(tmp_path: Path) -> None:
    file = write(tmp_path, "dev.json", '{"id": 1}\n\n{"id": 2}\n')
    assert list(rows(file)) == [Row(1, {"id": 1}), Row(3, {"id": 2})]


@pytest.mark.parametrize("encoding", ["utf-8", "utf8", "UTF-8"])
def test_byte_order_mark_is_dropped(tmp_path: Path, encoding: str) -> None:
    file = write(tmp_path, "t.csv", codecs.BOM_UTF8 + b"id\nx\n")
    assert list(rows(file, encoding=encoding)) == [Row(2, {"id": "x"})]


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_wrong_encoding_names_offset_and_guess(tmp_path: Path, mark: bytes) -> None:
    sentence = "id\nLe café était déjà fermé, où êtes-vous allés après la fête de Noël ?\n"
    file = write(tmp_path, "t.tsv", mark + sentence.encode("cp1252"))
    with pytest.raises(DataError) as error:
        list(rows(file))
    offset = len(mark) + sentence.index("é")
    assert f"byte 0xe9 at offset {offset}." in str(error.value)
    assert "dataset.encoding=" in str(error.value)
    (row,) = rows(file, encoding="cp1252")
    assert isinstance(row, Row)


def test_offset_far_into_a_large_file(tmp_path: Path) -> None:
    file = write(tmp_path, "t.csv", b"id\n" + b"plain words\n" * 50_000 + "déjà fermé\n".encode("cp1252"))
    with pytest.raises(DataError, match=r"offset 600,004\. It looks like (?!ascii)"):
        list(rows(file))


def test_undecodable_bytes_without_a_guess(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing:
        def best(self) -> None:
            return None

    monkeypatch.setattr("charset_normalizer.from_bytes", lambda data: Nothing())
    with pytest.raises(DataError, match="No encoding fits"):
        list(rows(write(tmp_path, "t.csv", b"id\n\xff\xfe\n")))


@pytest.mark.parametrize("encoding", ["utf-99", "hex"])
def test_unknown_encoding(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(DataError, match=f"encoding='{encoding}' is unknown"):
        list(rows(write(tmp_path, "t.csv", "id\n1\n"), encoding=encoding))


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, "train.jsonl", "{}")
    with pytest.raises(DataError, match=r"no such file \(did you mean 'train\.jsonl'\?\)"):
        list(rows(tmp_path / "trian.jsonl"))
    with pytest.raises(DataError, match="no folder"):
        list(rows(tmp_path / "nowhere" / "train.jsonl"))


def test_folder_is_not_a_file(tmp_path: Path) -> None:
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(DataError, match="this is a folder"):
        list(rows(tmp_path / "t.csv"))


def test_unknown_extension_names_the_allowed_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'\.xlsx'; allowed: \.csv, \.tsv, .*\.parquet"):
        list(rows(write(tmp_path, "t.xlsx", "")))


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_file_without_a_record(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="has no record"):
        list(rows(write(tmp_path, name, "\n")))


@pytest.mark.parametrize(
    ("name", "content", "row", "detail"),
    [
        ("t.csv", "id,text\n1,a\n2,b,c\n", 3, "3 columns, but the header has 2"),
        ("t.csv", "id,text\n1,a\n2\n", 3, "1 columns, but the header has 2"),
        ("t.csv", "id,text\n1,a\n2,b\0c\n", 3, "NUL"),
        ("t.csv", 'id,text\n1,a\n2,"b\n3,c\n', 3, "quote that is not closed"),
        ("t.csv", 'id,text\n1,a\n2,"b"c\n', 3, "not CSV"),
        ("t.jsonl", '{"id": 1}\n{"id": 2,}\n', 2, "not JSON"),
        ("t.jsonl", '{"id": 1}\n[2]\n', 2, "found list"),
        ("t.jsonl", '{"id": 1}\n{"id": "a\\u0000"}\n', 2, "NUL"),
        ("t.jsonl", '{"id": 1}\n{"id": ["\\ud800"]}\n', 2, "surrogate"),
        ("t.jsonl", '{"id": 1}\n' + "[" * 100_000 + "\n", 2, "not JSON"),
    ],
)
def test_malformed_rows(tmp_path: Path, name: str, content: str, row: int, detail: str) -> None:
    good, bad = rows(write(tmp_path, name, content))
    assert isinstance(good, Row)
    assert isinstance(bad, Rejected)
    assert (bad.reason, bad.row, bad.source) == ("malformed_row", row, str(tmp_path / name))
    assert detail in bad.detail


def test_rows_after_a_csv_error_are_read(tmp_path: Path) -> None:
    entries = list(rows(write(tmp_path, "t.csv", 'id\n"b"c\nx\n')))
    assert entries[-1] == Row(3, {"id": "x"})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "id,id\n1,2\n", "names 'id' more than once"),
        ("t.csv", '"id"x,text\n1,2\n', "the header, row 1, is not CSV"),
        ("t.json", "[1, 2", "begins like a JSON array"),
        ("t.parquet", "no parquet", "not a readable Parquet file"),
    ],
)
def test_unusable_files(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(rows(write(tmp_path, name, content)))


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match="pip install pyarrow"):
        list(rows(write(tmp_path, "t.parquet", "x")))


def test_missing_column_names_needed_and_found() -> None:
    words = r"no column 'question' \(did you mean 'questions'\?\).*Needed: id, .*Found: id,"
    with pytest.raises(DataError, match=words):
        require_columns("t.csv", [Row(2, {"id": 1, "questions": 2})], ["id", "question"])


def test_a_column_some_rows_lack_is_there() -> None:
    require_columns("t.jsonl", [Row(1, {"id": 1}), Row(2, {"exp": 1})], ["id", "exp"])


def test_no_readable_record() -> None:
    with pytest.raises(DataError, match=r"none of 1 records can be read\. Row 4: odd"):
        require_columns("t.jsonl", [Rejected("t.jsonl", 4, None, "malformed_row", "odd")], ["id"])
