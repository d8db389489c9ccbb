"""The patients and days that a forget target is limited to."""

from __future__ import annotations

import pytest

from duolearn_cli.concepts.hierarchy import resolve_target
from duolearn_cli.concepts.scope import Scope
from duolearn_cli.config.forget import ForgetTarget
from duolearn_cli.errors import ConfigError
from tests.concepts.test_hierarchy import small

HIERARCHY = small()
INSIDE = ("p1", "2024-02-10")


@pytest.mark.parametrize(
    ("patients", "dates", "patient", "day", "holds"),
    [
        ([], "", None, None, True),
        (["p1"], "", "p1", None, True),
        (["p1"], "", "p2", None, False),
        (["p1"], "", None, None, False),
        ([], "2024-02-01..2024-02-29", None, "2024-02-29", True),
        ([], "2024-02-01..2024-02-29", None, "2024-03-01", False),
        ([], "2024-02-01..", None, "2030-01-01", True),
        ([], "..2024-02-01", None, "1999-12-31", True),
        ([], "..2024-02-01", None, None, False),
        (["p1"], "2024-02-01..2024-02-29", *INSIDE, True),
        (["p2"], "2024-02-01..2024-02-29", *INSIDE, False),
        ([], "2024-02-10..2024-02-10", None, "2024-02-10T08:30:00", True),
    ],
)
def test_what_lies_in_a_scope(patients, dates, patient, day, holds):
    assert Scope.of(patients, dates).holds(patient, day) is holds


@pytest.mark.parametrize(
    "dates", ["2024", "..", "2024-01-01", "2024-02-30..", "2024-1-1..", "x..y", "2024-03-01..2024-02-01"]
)
def test_days_that_are_none_are_refused_with_the_form(dates):
    with pytest.raises(ConfigError, match=r"forget\.dates="):
        Scope.of([], dates)


def test_a_target_of_patients_alone_is_everything_about_them():
    target = resolve_target(ForgetTarget("patient", patients=["p1"]), HIERARCHY)
    assert target.is_everything and target.covers(None, None) and not target.forget


def test_a_target_without_concepts_and_patients_is_refused():
    with pytest.raises(ConfigError, match=r"forget\.patients"):
        resolve_target(ForgetTarget("nothing"), HIERARCHY)


def test_concepts_of_some_patients_are_not_everything():
    concept = next(iter(HIERARCHY.concepts))
    target = resolve_target(ForgetTarget("some", [concept], patients=["p1"]), HIERARCHY)
    assert not target.is_everything and target.scope.holds("p1", None)
