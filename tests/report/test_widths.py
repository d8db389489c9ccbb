"""Tables become lists on screens that are too narrow for their columns, or for a long word in one."""

import pytest

from duolearn_cli.report.tables import Table
from duolearn_cli.report.widths import size


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (("DuoLearn", "75.0 [70.0, 80.0]"), "few"),
        (("a few words that may be on several lines", *["0.5"] * 5), "few"),
        (("method.sparsity.fraction=0.0025", "gradient_ascent_without_anything", *["0.5 [0.4, 0.6]"] * 2), "some"),
        (("DuoLearn", *["0.5"] * 7), "some"),
        (("DuoLearn", *["0.5"] * 11), "many"),
        (("DuoLearn", *["0.5"] * 12), "crowd"),
        (("x" * 2000, "0.5"), "crowd"),
    ],
)
def test_the_class_of_a_table_has_room_for_its_longest_words(row, expected):
    assert size(Table("t", ("h",) * len(row), (row,))) == expected
