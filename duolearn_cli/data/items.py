"""The record types of the project: a multiple-choice item, a rejected row, and what a reader returns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from duolearn_cli.data.documents import Document
from duolearn_cli.errors import ConfigError, DataError

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
BAD_ROW_POLICIES = ("error", "skip")


@dataclass(frozen=True, slots=True)
class Item:
    """One multiple-choice question.

    answer: the 0-based position of the right option.
    concepts: ids of hierarchy concepts, if the data set names them.
    fact: shared by items that ask for the same fact in other words (phrasings).
    heldout: no model may train on this phrasing; it measures knowledge rather than memorised strings.
    patient: shared by items about the same person; the unit of privacy may be the patient.
    date: the day that the fact is of, ISO 8601.
    continues: the question is the beginning of a text, which the answer continues; it is asked without "Question:".
    source, row: where the item comes from (see row.Row). They do not count when items are compared.
    """

    id: str
    question: str
    options: tuple[str, ...]
    answer: int
    subject: str | None = None
    topic: str | None = None
    explanation: str | None = None
    concepts: tuple[str, ...] = ()
    fact: str = ""
    heldout: bool = False
    patient: str | None = None
    date: str | None = None
    continues: bool = False
    source: str = field(default="", compare=False)
    row: int = field(default=0, compare=False)

    @property
    def answer_text(self) -> str:
        """The text of the right option."""
        return self.options[self.answer]

    @property
    def fact_id(self) -> str:
        """The unit of splits: the fact if the source names it, else the item itself."""
        return self.fact or self.id


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that could not become an item. `reason` is a snake_case code, `detail` a sentence for people."""

    source: str
    row: int
    id: str | None
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a reader returns.

    `notes` are sentences about rows that were changed, or that look odd but were accepted. `policy` is what was done
    with bad rows, one of `BAD_ROW_POLICIES`; rows that the model's tokenizer cannot read are treated alike.
    `documents` are running texts that models learn beside the items (see documents.py).
    """

    items: tuple[Item, ...]
    rejected: tuple[Rejected, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())
    policy: str = "skip"
    documents: tuple[Document, ...] = field(default=())

    def reasons(self) -> dict[str, int]:
        """Return {reason: number of rejected rows}, the most frequent first."""
        return dict(Counter(row.reason for row in self.rejected).most_common())


class Reader(Protocol):
    """A configured data set: ``dataset._target_`` names a class with this method."""

    def load(self) -> Loaded:
        """Read and check the source. Raises DataError if the source cannot be used."""
        ...


Record = TypeVar("Record", Item, Document)


def collect(rows: Iterable[Item | Rejected], policy: str) -> Loaded:
    """Apply the bad-row policy to items: see `accepted`."""
    items, rejected = accepted(rows, policy)
    return Loaded(tuple(items), tuple(rejected), policy=policy)


def accepted(rows: Iterable[Record | Rejected], policy: str) -> tuple[list[Record], list[Rejected]]:
    """Apply the bad-row policy: ``error`` stops at the first bad row, ``skip`` leaves bad rows out and reports them.

    Raises:
        DataError: a row is bad and the policy is ``error``, or no usable row is left.
        ConfigError: the policy is neither ``error`` nor ``skip``.
    """
    if policy not in BAD_ROW_POLICIES:
        raise ConfigError(f"dataset.on_bad_row is {policy!r}; allowed: {', '.join(BAD_ROW_POLICIES)}.")
    # By id, because everything later (splits, weights, predictions) refers to items by id.
    records: dict[str, Record] = {}
    rejected: list[Rejected] = []
    for entry in rows:
        if not isinstance(entry, Rejected) and entry.id not in records:
            records[entry.id] = entry
            continue
        bad = entry if isinstance(entry, Rejected) else _repeated(entry, records[entry.id])
        if policy == "error":
            where = f"{bad.source or 'data'}, row {bad.row} (id {bad.id})"
            raise DataError(
                f"{where}: {bad.detail} [{bad.reason}]. "
                "Fix the row, or set dataset.on_bad_row=skip to leave such rows out and list them in rejected.jsonl."
            )
        rejected.append(bad)
    if not records:
        raise DataError(_none_left(rejected))
    return list(records.values()), rejected


def _repeated(entry: Item | Document, earlier: Item | Document) -> Rejected:
    detail = f"id {entry.id!r} is already used by row {earlier.row}"
    return Rejected(entry.source, entry.row, entry.id, "duplicate_id", detail)


def _none_left(rejected: list[Rejected]) -> str:
    if not rejected:
        return "the data source has no rows."
    first = rejected[0]
    return (
        f"{first.source or 'data'}: no usable row; all {len(rejected)} were rejected "
        f"({Loaded((), tuple(rejected)).reasons()}). The first, row {first.row}: {first.detail}."
    )
