"""The tables as such: their ids tell rows apart, and docs/hardening.md counts them."""

from __future__ import annotations

import re
from pathlib import Path

from tests.hardening.tables import TABLES, counts

PAGE = Path(__file__).parents[2] / "docs" / "hardening.md"


def test_rows_have_ids_of_their_own():
    for name, make in TABLES.items():
        ids = [row.id for row in make()]
        assert len(set(ids)) == len(ids), (name, sorted({one for one in ids if ids.count(one) > 1}))


def test_the_page_counts_the_rows():
    told = {
        name: (int(rows), int(quick))
        for name, rows, quick in re.findall(r"^\| (.+?) \| (\d+) \| (\d+) \|", PAGE.read_text(), re.M)
    }
    assert told == counts() | {"all": tuple(map(sum, zip(*counts().values(), strict=True)))}
    assert told["all"][0] >= 700
