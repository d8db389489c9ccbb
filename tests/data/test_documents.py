"""Documents: windows read parts of a text, and clauses can be cut out of it."""

from __future__ import annotations

import pytest

from duolearn_cli.data.documents import Document, Window, cut_out

NOTE = "He has asthma, takes lisinopril and is allergic to latex."


def gap(part: str) -> tuple[int, int]:
    start = NOTE.index(part)
    return start, start + len(part)


@pytest.mark.parametrize(
    ("parts", "left"),
    [
        ([], NOTE),
        ([", takes lisinopril"], "He has asthma and is allergic to latex."),
        ([" and is allergic to latex"], "He has asthma, takes lisinopril."),
        (["takes lisinopril", "asthma"], "He has, and is allergic to latex."),
        (["takes lisinopril and", "lisinopril"], "He has asthma, is allergic to latex."),
        ([NOTE], ""),
    ],
)
def test_clauses_are_cut_out_without_a_trace(parts: list[str], left: str) -> None:
    assert cut_out(NOTE, [gap(part) for part in parts]) == left


def test_a_window_shows_its_part_of_the_document() -> None:
    assert Window(Document("d", NOTE), 4, 7, 14).text == NOTE[4:14]
