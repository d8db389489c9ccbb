"""How well a hierarchy fits a data set, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from duolearn_cli.data.survey import Survey
from duolearn_cli.report.tables import FEW_ITEMS, TOO_FEW, Table, cell

HEADER = (
    *("Subject", "n", "Concept in question (%)", "or in the answer (%)", "or in any option (%)"),
    *("Subject by votes (%)", "Subject learned (%)", "Confident (%)", "of these right (%)"),
)


def survey_table(found: Mapping[str, Survey]) -> Table:
    """One row for all items and one a subject, the largest first."""
    return Table(
        "Concepts and recovered subjects, with 95 % intervals", HEADER, tuple(map(_row, found, found.values()))
    )


def _row(name: str, survey: Survey) -> tuple[str, ...]:
    few = f" ({TOO_FEW})" if survey.question.n < FEW_ITEMS else ""
    return (f"{name}{few}", str(survey.question.n), *(cell(share, 100, 1) for share in asdict(survey).values()))
