"""The whole column shows whether answers count from 0 or from 1, and contradictions are refused."""

from dataclasses import replace

import pytest

from duolearn_cli.data.items import Rejected
from duolearn_cli.data.readers.answers import place_of
from duolearn_cli.data.readers.numbering import settle
from duolearn_cli.data.readers.raw import NO_OPTION, Raw
from duolearn_cli.data.readers.row_notes import Notes
from duolearn_cli.errors import DataError


def raws(answers, kind, options=("w", "x", "y", "z")):
    return [Raw("f", n, n, "q", tuple(options), answer, kind) for n, answer in enumerate(answers, start=2)]


def settled(answers, kind, **more):
    notes = Notes()
    rows = settle("f", raws(answers, kind, **more), notes, "dataset.fields.answer_kind")
    return rows[0].answer_kind, notes.sentences()


@pytest.mark.parametrize(
    ("answers", "kind", "expected"),
    [
        ([0, 1, 2, 3] * 9, "index", "index0"),
        ([1, 2, 3, 4] * 9, "index", "index1"),
        ([4], "index1", "index1"),
        ([0, 1], "index0", "index0"),
        (["option1", "option4"], "index", "index1"),
        (["3.0", "0.0"], "index", "index0"),
        # One mistake in two hundred answers does not decide.
        ([*[1, 2, 3, 4] * 50, 0], "index", "index1"),
        ([*[1, 2, 3, 4] * 50, 0], "index1", "index1"),
    ],
)
def test_settled(answers, kind, expected):
    assert settled(answers, kind)[0] == expected


def test_a_wrong_base_that_once_shifted_answers():
    """Of 36 rows with answers 1 to 4 and index0, 27 were once learned with the next option as the right one."""
    with pytest.raises(
        DataError, match=r"9 of 36 answers are equal to .* \(first in row 5\) and none is 0.*=index1, or"
    ):
        settled([1, 2, 3, 4] * 9, "index0")
    with pytest.raises(DataError, match=r"9 of 36 answers are 0 \(first in row 2\).*=index0, or correct the rows"):
        settled([0, 1, 2, 3] * 9, "index1")


def test_a_few_zeros_do_not_save_a_wrong_base():
    with pytest.raises(DataError, match="index1"):
        settled([0, *[1, 2, 3, 4] * 9], "index0")


def test_columns_of_fillers_do_not_count_as_options():
    options = ("w", "x", "y", "z", NO_OPTION)
    with pytest.raises(DataError, match="index1"):
        settled([1, 2, 3, 4], "index0", options=options)
    assert settled([1, 2, 3, 4], "index", options=options)[0] == "index1"


def test_a_column_that_shows_no_base_is_noted_or_refused():
    kind, notes = settled([1, 2, 3], "index1")
    assert kind == "index1" and "does not show" in notes[0]
    with pytest.raises(DataError, match=r"it is unclear.*answer_kind=index0 .*answer_kind=index1"):
        settled([1, 2, 3], "index")
    with pytest.raises(DataError, match="4 of 8 answers are 0 and 4 are the number"):
        settled([0, 4] * 4, "index")


def test_names_of_options_need_no_base():
    rows = [replace(raw, names=("A", "B", "C", "D")) for raw in raws(["A", "D"], "index")]
    assert [place_of(raw) for raw in settle("f", rows, Notes(), "setting")] == [0, 3]


def test_rejected_rows_and_empty_answers_do_not_count():
    bad = Rejected("f", 1, None, "malformed_row", "?")
    assert settle("f", [bad], Notes()) == [bad]
    assert settle("f", raws([None, ""], "index"), Notes())[0].answer_kind == "index"


def test_a_kind_that_reads_few_answers_is_refused_if_another_reads_almost_all():
    with pytest.raises(DataError, match="=letter reads 0 of 4 answers, text reads 4; row 2 has 'w'"):
        settled(["w", "x", "y", "z"], "letter")
    # If no kind reads the column, each row is rejected for its own reason.
    assert settled(["?", "!", "w", "x"], "letter")[0] == "letter"
