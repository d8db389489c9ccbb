"""Files that no reader can use, and the readers."""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.hardening.row import Act, Row

DEEP = 100_000
CONTENTS: dict[str, bytes] = {
    "empty": b"",
    "blank_lines": b"\n\n \n\t\n",
    "nul_bytes": b"\0" * 4096,
    "random_bytes": bytes((i * 197 + i // 7 * 31) % 256 for i in range(4096)),
    "only_a_mark": b"\xef\xbb\xbf",
    "utf16_without_mark": "id,question\n1,what\n".encode("utf-16-le"),
    "utf16_odd_byte": b"\xff\xfea\0b",
    "utf32": "id,question\n1,what\n".encode("utf-32"),
    "latin1": "id;Frage\n1;Wof\xfcr\n".encode("latin-1"),
    "half_a_character": b"id\n\xe2\x82",
    "overlong_utf8": b"id\n\xc0\xafetc",
    "png": b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + bytes(64),
    "elf": b"\x7fELF\x02\x01\x01" + bytes(64),
    "zip_archive": b"PK\x03\x04" + bytes(64),
    "cut_gzip": gzip.compress(b"id,question\n" * 500)[:60],
    "gzip_bad_checksum": gzip.compress(b"id,question\n" * 500)[:-8] + b"\0" * 8,
    "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<</Type/Catalog>>\nendobj\n",
    "html_page": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "lfs_pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n",
    "deep_lists": b"[" * DEEP,
    "deep_objects": b'{"a":' * 10_000,
    "deep_xml": b"<a>" * 20_000,
    "xml_bomb": (
        b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "lol">'
        + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9))
        + b"]><l>&j;</l>"
    ),
    "xml_external": b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY x SYSTEM "file:///etc/passwd">]><l>&x;</l>',
    "xml_odd_encoding": b'<?xml version="1.0" encoding="klingon"?><l/>',
    "xml_undefined_encoding": b'<?xml version="1.0" encoding="undefined"?><l/>',
    "one_long_line": b"x" * 3_000_000,
    "quote_not_closed": b'id,question,options,answer\n1,"what\n2,where,a,b\n',
    "huge_number": b'{"id": ' + b"9" * 10_000 + b"}",
    "cut_json": b'[{"id": "1", "question": "what',
    "json_null": b"null",
    "json_number": b"5",
    "json_text": b'"text"',
    "json_list_of_lists": b"[[1], [2]]",
    "yaml_bomb": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(9)),
    "yaml_tag": b"a: !!python/object/apply:os.system [id]\n",
    "parquet_cut": b"PAR1" + bytes(100),
    "parquet_bad_footer": b"PAR1" + bytes(50) + struct.pack("<I", 2_000_000_000) + b"PAR1",
}


def _read_rows(name: str) -> Act:
    def act(folder: Path) -> object:
        from duolearn_cli.data.readers.tabular import require_columns, rows

        entries = list(rows(folder / name))
        return require_columns(folder / name, entries, ["question", "options"])

    return act


def hierarchy(module: str, owner: str, name: str, **settings: Any) -> Act:
    """Load a hierarchy source from the file `name` of the folder."""

    def act(folder: Path) -> object:
        import importlib

        source = getattr(importlib.import_module(f"duolearn_cli.concepts.sources.{module}"), owner)
        return source(path=str(folder / name), **settings).load()

    return act


def _records(name: str) -> Act:
    def act(folder: Path) -> object:
        from duolearn_cli.evaluation.lm_eval import read_results

        return read_results(folder / name)

    return act


READERS: dict[str, tuple[str, Act]] = {
    "csv": ("cases.csv", _read_rows("cases.csv")),
    "tsv": ("cases.tsv", _read_rows("cases.tsv")),
    "jsonl": ("cases.jsonl", _read_rows("cases.jsonl")),
    "json": ("cases.json", _read_rows("cases.json")),
    "parquet": ("cases.parquet", _read_rows("cases.parquet")),
    "hierarchy_table": ("tree.tsv", hierarchy("csv_file", "Csv", "tree.tsv")),
    "mesh": ("desc.xml", hierarchy("mesh", "Mesh", "desc.xml")),
    "obo": ("terms.obo", hierarchy("obo", "Obo", "terms.obo")),
    "owl": ("terms.owl", hierarchy("obo", "Obo", "terms.owl")),
    "obo_graph": ("terms.json", hierarchy("obo", "Obo", "terms.json")),
    "lm_eval": ("results.json", _records("results.json")),
}
# A tenth of these has every test run; a step that has no factor with the number of readers takes all of both.
STEP = 11


def damaged() -> Iterator[Row]:
    """Every content for every reader. The message names the file."""
    number = 0
    for kind, content in CONTENTS.items():
        for reader, (name, act) in READERS.items():
            number += 1
            yield Row(f"{reader}-{kind}", act, (name,), {name: content}, quick=number % STEP == number // 121 % STEP)


def parquet(values: list[dict[str, Any]], spoil: tuple[bytes, bytes] | None = None) -> bytes:
    """A Parquet file; `spoil` replaces bytes in it."""
    import pyarrow
    import pyarrow.parquet

    sink = io.BytesIO()
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist(values), sink, compression="none", use_dictionary=False, write_statistics=False
    )
    return sink.getvalue().replace(*spoil) if spoil else sink.getvalue()
