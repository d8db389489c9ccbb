"""MHQA (Racha et al. 2025): questions on mental health, from the user's own copy in either of its two formats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from duolearn_cli.config.settings import setting
from duolearn_cli.data.cleaning import clean, fold
from duolearn_cli.data.items import BAD_ROW_POLICIES, Loaded, Rejected
from duolearn_cli.data.readers.raw import Raw
from duolearn_cli.data.readers.reading import read
from duolearn_cli.data.readers.row import Entry, Row
from duolearn_cli.data.readers.tabular import require_columns, rows
from duolearn_cli.errors import DataError

OPTIONS = ("option1", "option2", "option3", "option4")
# The columns of the answer's text and number: in the gold file, and in the other splits.
GOLD = ("correct_option", "correct_option_number")
OTHER = ("correct_answer", "correct_option_num")


@dataclass
class MHQA:
    """The MHQA data set. All its items have the subject Psychiatry; the topics are the four conditions."""

    path: str | None = setting(None, "your own copy (CSV); it may not be distributed")
    on_bad_row: str = setting("skip", "stop at a bad row, or leave it out", choices=BAD_ROW_POLICIES)
    encoding: str = setting("utf-8", "encoding of the file")

    def load(self) -> Loaded:
        """Read and check the file. An id that is repeated with another question gets the suffix -2, -3 and so on.

        Raises:
            DataError: there is no path, or the file cannot be used or lacks a column.
        """
        if not self.path:
            raise DataError(
                "MHQA has no licence that allows us to ship it: get a copy from its authors, dataset.path=FILE.csv."
            )
        entries = list(rows(self.path, encoding=self.encoding))
        format_ = _format(entries)
        require_columns(self.path, entries, ("id", "topic", "question", *OPTIONS, *format_))
        return read(self.path, _raws(self.path, entries, format_), self.on_bad_row, setting=None)


def _format(entries: list[Entry]) -> tuple[str, str]:
    """Return the columns of the answer's text and number: `OTHER` if the file has one of them, else `GOLD`."""
    columns = {name for entry in entries if isinstance(entry, Row) for name in entry.values}
    return OTHER if columns & set(OTHER) else GOLD


def _raws(path: str, entries: list[Entry], answer: tuple[str, str]) -> Iterator[Raw | Rejected]:
    questions: dict[str, list[str]] = {}
    for entry in entries:
        if isinstance(entry, Rejected):
            yield entry
            continue
        name = _unique_id(entry, questions)
        yield _raw(path, entry, name, answer)


def _unique_id(row: Row, questions: dict[str, list[str]]) -> str:
    """Return the row's id, with a suffix if other questions had the same id before.

    A repeated question keeps its id, so that it is rejected as a duplicate. `questions` ({id: questions}) is updated.
    """
    name, question = clean(row.values.get("id")), fold(row.values.get("question"))
    known = questions.setdefault(name, [])
    if question not in known:
        known.append(question)
    position = known.index(question)
    return f"{name}-{position + 1}" if name and position else name


def _raw(path: str, row: Row, name: str, answer: tuple[str, str]) -> Raw:
    values = row.values
    text, number = answer
    return Raw(
        source=path,
        row=row.number,
        id=name,
        question=values.get("question"),
        options=tuple(values.get(column) for column in OPTIONS),
        answer=values.get(number),
        answer_kind="index1",
        answer_text=values.get(text),
        subject="Psychiatry",
        topic=values.get("topic"),
        fact=name,
    )
