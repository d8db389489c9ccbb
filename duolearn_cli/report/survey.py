"""Tables of how well a hierarchy fits a data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from duolearn_cli.data.document_table import document_table
from duolearn_cli.data.documents import Document
from duolearn_cli.data.items import Loaded
from duolearn_cli.evaluation.hierarchy_fit import Survey
from duolearn_cli.evaluation.metrics.few import FEW_FACTS
from duolearn_cli.report.tables import TOO_FEW, Table, cell

HEADER = (
    *("Subject", "n", "Concept in question (%)", "or in the answer (%)", "or in any option (%)"),
    *("Subject by votes (%)", "Subject learned (%)", "Confident (%)", "of these right (%)"),
)


def survey_table(surveys: Mapping[str, Survey]) -> Table:
    """Return the table with one row for all items and one per subject, the largest first."""
    return Table(
        "Concepts and recovered subjects, with 95 % intervals", HEADER, tuple(map(_row, surveys, surveys.values()))
    )


def documents_table(documents: Sequence[Document], concepts: Callable[[Sequence[str]], Sequence[str]]) -> Table:
    """Return the table of what the documents hold. `concepts` returns the concepts that texts mention, each once."""
    mentioned = [concepts([document.text]) for document in documents]
    different = len({concept for own in mentioned for concept in own})
    with_any = sum(map(bool, mentioned))
    found = ("concepts", f"{different:,} different ones, in {with_any:,} of {len(documents):,} documents")
    return Table("Documents", ("What", "Number"), (*document_table(documents).rows(), found), num_text=2)


def rejected_table(loaded: Loaded) -> Table:
    """Return the table of rejected rows, which no other figure counts: by reason, with number, share and an example."""
    total = len(loaded.items) + len(loaded.documents) + len(loaded.rejected)
    first = {row.reason: row for row in reversed(loaded.rejected)}
    rows = (
        (reason, f"row {first[reason].row} (id {first[reason].id}): {first[reason].detail}", str(count), f"{share:.1f}")
        for reason, count in loaded.reasons().items()
        for share in (100 * count / total,)
    )
    header = ("Reason", "The first of them", "n", f"of {total} rows (%)")
    return Table(f"Rejected rows: {len(loaded.rejected)}", header, tuple(rows), num_text=2)


def _row(name: str, survey: Survey) -> tuple[str, ...]:
    few = f" ({TOO_FEW})" if survey.question.n < FEW_FACTS else ""
    return (f"{name}{few}", str(survey.question.n), *(cell(share, 100, 1) for share in asdict(survey).values()))
