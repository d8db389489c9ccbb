"""The study of what items are about: every verdict is used, and the rule is right more often than a mention."""

import csv
import runpy
from pathlib import Path

import pytest

from duolearn_cli.concepts.hierarchy import read_hierarchy
from duolearn_cli.concepts.sources.embedded import FOLDER
from duolearn_cli.config.forget import ForgetTarget
from duolearn_cli.data.readers.medmcqa import MedMCQA
from tests.conftest import REAL_DATA

STUDIES = Path(__file__).parents[2] / "scripts" / "studies"
study = runpy.run_path(str(STUDIES / "about_precision.py"))


def test_verdicts_hold_no_text():
    with (STUDIES / "about_verdicts.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len(rows) >= 60 and len({(row["target"], row["id"]) for row in rows}) == len(rows)
    assert {row["target"] for row in rows} == set(study["TARGETS"])
    assert {row["part"] for row in rows} == {"chosen_on", "test", "options"} and {row["about"] for row in rows} == {
        "0",
        "1",
    }
    assert all(len(row["id"]) == 36 for row in rows)


def test_quality_by_hand():
    judged = [study["Judged"]("t", "test", str(n), verdict, True, 1.0, False) for n, verdict in enumerate([1, 1, 0, 1])]
    precision, recall = study["quality"](judged, lambda row: row.id in "012")
    assert (precision.value, precision.n) == (pytest.approx(2 / 3), 3)
    assert (recall.value, recall.n) == (pytest.approx(2 / 3), 3)


@pytest.mark.skipif(not REAL_DATA.is_file(), reason="the real MedMCQA half is not beside this checkout")
def test_the_rule_is_right_more_often_than_a_mention():
    items = {item.id: item for item in MedMCQA(path=str(REAL_DATA)).load().items}
    rows = study["judged"](items, study["Judge"](read_hierarchy(FOLDER / "medical4.tsv")))
    test = [row for row in rows if row.part == "test"]
    old, _ = study["quality"](test, lambda row: row.mention)
    new, recall = study["quality"](test, lambda row: row.score >= ForgetTarget().about)
    assert new.value > old.value + 0.05 and recall.value > 0.75
