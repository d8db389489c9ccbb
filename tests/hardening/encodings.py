"""Encodings, valid and not, in settings and in files; values that only one cell of a file holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.hardening.contents import hierarchy, parquet
from tests.hardening.row import Act, Row

ENCODINGS = (
    *("undefined", "klingon", "rot13", "base64", "zlib", "hex", "idna", "punycode", "mbcs", "unicode_escape"),
    *("raw_unicode_escape", "quopri", "uu", "utf-16", "utf-7", "", " ", "utf-8\0", "ü", "x" * 300, "../utf_8"),
)
# ASCII in these is ASCII: they decode, and a user may have a reason.
DECODES = ("utf-7", "unicode_escape", "raw_unicode_escape", "idna")
TEXT = b"id,name,question,options,answer\n1,heart,what?,a,b\n"


def _table(encoding: str) -> Act:
    def act(folder: Path) -> object:
        from duolearn_cli.data.readers.tabular import rows

        return list(rows(folder / "cases.csv", encoding=encoding))

    return act


def rows() -> Iterator[Row]:
    for encoding in ENCODINGS:
        name = encoding.strip()[:9].replace("\0", "0") or f"blank{len(encoding)}"
        status = 0 if encoding in DECODES else 2
        yield Row(f"data-{name}", _table(encoding), () if not status else ("cases.csv",), {"cases.csv": TEXT}, status)
        act = hierarchy("csv_file", "Csv", "tree.csv", encoding=encoding)
        yield Row(f"hierarchy-{name}", act, () if not status else ("tree.csv",), {"tree.csv": TEXT}, status)
    yield from _parquet()
    yield from _obo()


def _parquet() -> Iterator[Row]:
    from tests.hardening.contents import READERS

    name, act = READERS["parquet"]
    good = [{"question": "whatwhatwhat", "options": "aa|bb"}]
    whole = parquet(good)
    yield Row("parquet-whole", act, (), {name: whole}, status=0)
    spoilt = {
        "invalid_utf8": parquet(good, (b"whatwhatwhat", b"what\xff\xfe\xc3at ")),
        "column_name_invalid_utf8": parquet(good, (b"question", b"quest\xff\xfen")),
        "no_row_groups": parquet(good)[:4] + parquet(good)[-100:],
        "cut_in_the_middle": whole[: len(whole) // 2] + whole[-200:],
        "footer_of_zeros": whole[:-60] + b"\0" * 52 + whole[-8:],
        "length_of_footer_negative": whole[:-8] + b"\xff\xff\xff\xff" + whole[-4:],
    }
    for kind, content in spoilt.items():
        yield Row(f"parquet-{kind}", act, (name,), {name: content})
    for kind, values in {
        "nested": [{"question": {"a": [1]}, "options": [[1], [2]]}],
        "binary": [{"question": b"\xff\xfe", "options": b"\0"}],
    }.items():
        yield Row(f"parquet-{kind}", act, (), {name: parquet(values)}, status=0)


OBO_HEAD = "format-version: 1.2\nontology: x\n\n"
OBO = {
    "indented_comment": "   ! a comment\n[Term]\nid: A:1\nname: a\n",
    "braces": "[Term]\nid: A:1\nname: a {}\n",
    "braces_open": '[Term]\nid: A:1\nname: a\nsynonym: "b" EXACT [] {\n',
    "no_name": "[Term]\nid: A:1\n",
    "no_id": "[Term]\nname: a\n",
    "two_names": "[Term]\nid: A:1\nname: a\nname: b\n",
    "unknown_parent": "[Term]\nid: A:1\nname: a\nis_a: B:9\n",
    "cycle": "[Term]\nid: A:1\nname: a\nis_a: A:2\n\n[Term]\nid: A:2\nname: b\nis_a: A:1\n",
    "own_parent": "[Term]\nid: A:1\nname: a\nis_a: A:1\n",
    "unknown_tag": "[Term]\nid: A:1\nname: a\nfrobnicate: 1\n",
    "unknown_stanza": "[Frob]\nid: A:1\n",
    "bad_date": "date: 99:99:9999 99:99\n[Term]\nid: A:1\nname: a\n",
    "bad_escape": "[Term]\nid: A:1\nname: a\\\n",
    "quote_open": '[Term]\nid: A:1\nname: a\nsynonym: "b EXACT []\n',
    "bad_scope": '[Term]\nid: A:1\nname: a\nsynonym: "b" SOME []\n',
    "bracket": "[Term\nid: A:1\n",
    "head_only": "",
    "obsolete_only": "[Term]\nid: A:1\nname: a\nis_obsolete: true\n",
}
ACCEPTED_OBO = ("own_parent", "two_names")  # a term is no parent of its own; the last name counts


def _obo() -> Iterator[Row]:
    act = hierarchy("obo", "Obo", "terms.obo")
    for kind, body in OBO.items():
        accepted, quick = kind in ACCEPTED_OBO, kind in ("braces", "cycle")
        names, status = ((), 0) if accepted else (("terms.obo",), 2)
        yield Row(f"obo-{kind}", act, names, {"terms.obo": OBO_HEAD + body}, status, quick=quick)
    deep = "".join(
        f"[Term]\nid: A:{i}\nname: term {i}\n" + (f"is_a: A:{i - 1}\n" if i else "") + "\n" for i in range(3000)
    )
    yield Row("obo-3000_levels", act, (), {"terms.obo": OBO_HEAD + deep}, status=0)
