"""The table of documents: how many, of whom, from when, and how many mentions and words of each class."""

from __future__ import annotations

from duolearn_cli.data.document_table import KIN, PRESERVE, UNLEARN, Classed, document_table
from duolearn_cli.data.documents import Document

NOTES = [
    Document("a", "He has had an appendectomy and has gout.", "p1", "2024-03-31", "Surgery"),
    Document("b", "She has gout, and takes warfarin.", "p2", "2023-01-02", "Clinic"),
    Document("c", "Nothing to say about anybody here.", "p1", None, "Surgery"),
    Document("d", "A leaflet about gout."),
]


def test_counts() -> None:
    classed = {
        "a": [Classed(14, 26, UNLEARN), Classed(35, 39, PRESERVE)],
        "b": [Classed(8, 12, KIN), Classed(24, 32, PRESERVE)],
    }
    assert NOTES[0].text[14:26] == "appendectomy" and NOTES[1].text[24:32] == "warfarin"
    table = document_table(NOTES, 6, classed)
    assert table.rows() == [
        ("documents", "4 in 6 windows"),
        ("patients", "2; 1 documents name none"),
        ("dates", "2023-01-02 to 2024-03-31; 2 documents have none"),
        ("subjects", "Surgery 2, Clinic 1, none 1"),
        ("mentions", "U 1, P 2, kin 1"),
        ("words", "U 1, P 2, kin 1, N 20"),
    ]
    assert sum(table.words.values()) == sum(len(one.text.split()) for one in NOTES)
    assert table.as_dict()["mentions"] == {"U": 1, "P": 2, "kin": 1}


def test_without_classes_dates_or_patients() -> None:
    table = document_table([Document(str(number), "One word more.", subject=f"k{number}") for number in range(7)])
    assert table.rows() == [
        ("documents", "7"),
        ("patients", "0; 7 documents name none"),
        ("dates", "none; 7 documents have none"),
        ("subjects", "k0 1, k1 1, k2 1, k3 1, k4 1 and 2 more"),
        ("words", "21"),
    ]
