"""Both column formats of MHQA, repeated ids, and answers whose text and number disagree."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from duolearn_cli.data.readers.mhqa import GOLD, MHQA, OTHER
from duolearn_cli.errors import DataError


def row(name: str, question: str, number: str, text: str = "") -> list[str]:
    """Return a made-up row; by default the answer text is that of the numbered option."""
    options = [f"choice {position}" for position in (1, 2, 3, 4)]
    return [name, "Trauma", "Factoid", question, *options, text or f"choice {number[0]}", number]


def write(folder: Path, rows: list[list[str]], answer: tuple[str, str] = GOLD) -> MHQA:
    """Return a data set over a CSV file with `rows`."""
    file = folder / "mhqa.csv"
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "topic", "type", "question", "option1", "option2", "option3", "option4", *answer])
        writer.writerows(rows)
    return MHQA(path=str(file))


@pytest.mark.parametrize(("answer", "number"), [(GOLD, "3"), (OTHER, "3.0")])
def test_formats_agree(tmp_path: Path, answer: tuple[str, str], number: str) -> None:
    (item,) = write(tmp_path, [row("1", "Q?", number)], answer).load().items
    assert (item.id, item.fact_id, item.answer_text) == ("1", "1", "choice 3")
    assert (item.subject, item.topic, item.row) == ("Psychiatry", "Trauma", 2)


def test_repeated_ids(tmp_path: Path) -> None:
    rows = [row("7", "One?", "1"), row("7", "Two?", "1"), row("7", " ONE?", "2"), row("7", "Three?", "1")]
    loaded = write(tmp_path, rows).load()
    assert [item.id for item in loaded.items] == ["7", "7-2", "7-3"]
    assert len({item.fact_id for item in loaded.items}) == 3
    assert loaded.reasons() == {"duplicate_id": 1}
    assert loaded.rejected[0].row == 4


def test_a_good_repeat_of_a_rejected_row_is_accepted(tmp_path: Path) -> None:
    loaded = write(tmp_path, [row("7", "One?", "1", "choice 2"), row("7", "One?", "1")]).load()
    assert [(item.id, item.row) for item in loaded.items] == [("7", 3)]


def test_text_and_number_disagree(tmp_path: Path) -> None:
    data = write(tmp_path, [row("1", "One?", "1"), row("2", "Two?", "2", "choice 4")])
    assert data.load().reasons() == {"answer_text_mismatch": 1}
    data.on_bad_row = "error"
    with pytest.raises(DataError, match=r"row 3 \(id 2\).*'choice 4' is not option 2"):
        data.load()


def test_marks_do_not_make_texts_disagree(tmp_path: Path) -> None:
    rows = [row("1", "One?", "1.0", "choice 1>"), row("2", "Two?", "4.0", "Choice 4."), row("3", "Three?", "2.0")]
    loaded = write(tmp_path, rows, OTHER).load()
    assert [item.answer for item in loaded.items] == [0, 3, 1] and not loaded.rejected
    assert "marks: it counts as the same (2 rows: 2, 3)" in loaded.notes[0]


def test_numbers_from_0_are_refused(tmp_path: Path) -> None:
    rows = [row(str(n), f"Question {n}?", str(n % 4), "choice") for n in range(8)]
    with pytest.raises(DataError, match=r"count options from 1, but 2 of 8 answers are 0 \(first in row 2\)"):
        write(tmp_path, rows).load()


def test_ragged_row(tmp_path: Path) -> None:
    assert write(tmp_path, [row("1", "One?", "1"), ["2", "Trauma"]]).load().reasons() == {"malformed_row": 1}


def test_missing_column_names_found_and_needed(tmp_path: Path) -> None:
    data = write(tmp_path, [row("1", "One?", "1")], ("correct_option", "number"))
    with pytest.raises(DataError, match=r"no column 'correct_option_number'.*Needed: id, .*Found: .*, number\."):
        data.load()


def test_no_path() -> None:
    with pytest.raises(DataError, match=r"dataset\.path=FILE\.csv"):
        MHQA().load()
