"""The table of what was changed."""

import pytest

from duolearn_cli.report.change import MEANS, change_table
from duolearn_cli.report.tables import DASH


def test_the_whole_first_then_the_layers(metrics):
    table = change_table(metrics)
    assert table.header == ("Layer", "Norm of the change", "Changed parameters", *MEANS.values())
    assert table.rows == (
        ("all", "5.22", "1,031 (0.781 % of the model)", "37.5", "-0.123", "16.7", "3.2"),
        ("0", "5", "1,024", "25.0", "-0.123", "16.7", "3.2"),
        ("1", "1.5", "7", "50.0", "-0.123", "16.7", "3.2"),
    )


@pytest.mark.parametrize(("missing", "columns"), [("change", 5), ("geometry", 3)])
def test_a_part_that_was_not_measured_has_no_columns(metrics, missing, columns):
    del metrics[missing]
    table = change_table(metrics)
    assert {len(row) for row in (table.header, *table.rows)} == {columns}
    assert [row[0] for row in table.rows] == ["all", "0", "1"]


def test_nothing_measured_no_rows(metrics):
    del metrics["change"], metrics["geometry"]
    assert change_table(metrics).rows == ()


def test_layers_are_matched_by_number_and_gaps_are_dashes(metrics):
    metrics["geometry"]["layers"] = [{"layer": 1, "conflict": 0.5, "cosine": None}]
    metrics["change"]["layers"][0]["layer"] = -1
    rows = {row[0]: row[1:] for row in change_table(metrics).rows}
    assert rows["1"] == ("1.5", "7", "50.0", DASH, DASH, DASH)
    assert rows["outside the layers"] == ("5", "1,024", DASH, DASH, DASH, DASH)


def test_no_change_at_all_is_a_zero_and_no_dash(metrics):
    metrics["change"] |= {"parameters": 0, "fraction": 0.0, "norm": 0.0}
    assert change_table(metrics).rows[0][1:3] == ("0", "0 (0 % of the model)")
