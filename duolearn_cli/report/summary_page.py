"""The HTML page of a sweep or a benchmark, from the same pieces as the report of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from duolearn_cli.files import write_text
from duolearn_cli.report.page import render
from duolearn_cli.report.pictures import Picture
from duolearn_cli.report.tables import Table


@dataclass(frozen=True, slots=True)
class Summary:
    """What the page shows.

    Attributes:
        sentence: the result in one sentence.
        remarks: how to read the tables.
        links: names of runs, each with the path of its report from the page on.
    """

    title: str
    sentence: str
    warnings: Sequence[str]
    remarks: Sequence[str]
    tables: Sequence[Table]
    pictures: Sequence[Picture] = ()
    links: Sequence[tuple[str, str]] = ()


def write_summary(path: Path, summary: Summary) -> None:
    """Write the page as one file that needs no other."""
    shown = {name: getattr(summary, name) for name in Summary.__slots__}
    write_text(path, render("summary.html.j2", shown | {"sections": list(_sections(summary))}))


def _sections(summary: Summary) -> Iterator[str]:
    for name, part in (("Warnings", summary.warnings), ("Figures", summary.pictures)):
        if part:
            yield name
    yield from ("Tables", "How to read this")
    if summary.links:
        yield "Runs"
