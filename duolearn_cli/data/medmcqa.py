"""MedMCQA (Pal et al. 2022): four options, 21 subjects, from a file or, when allowed, from the hub."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from duolearn_cli.data.checks import Raw, build, clean, fold, whole_number
from duolearn_cli.data.items import BAD_ROW_POLICIES, Item, Loaded, Rejected, collect
from duolearn_cli.data.tabular import Entry, Row, require_columns, rows
from duolearn_cli.errors import ConfigError, DataError

OPTIONS = ("opa", "opb", "opc", "opd")
BASES = ("auto", "0", "1")


@dataclass
class MedMCQA:
    """The MedMCQA data set; `load` reads it."""

    path: str | None = field(default=None, metadata={"help": "JSON lines, CSV or Parquet file; null: the hub copy"})
    hub_id: str = field(default="openlifescienceai/medmcqa", metadata={"help": "data set on the Hugging Face hub"})
    split: str = field(
        default="train",
        metadata={"help": "split of the hub copy (test has no labels)", "choices": ["train", "validation", "test"]},
    )
    answer_base: str = field(
        default="auto",
        metadata={"help": "number of the first option in `cop`; auto: seen in the data", "choices": BASES},
    )
    on_bad_row: str = field(
        default="skip", metadata={"help": "stop at a bad row, or leave it out", "choices": BAD_ROW_POLICIES}
    )
    encoding: str = field(default="utf-8", metadata={"help": "encoding of the file at `path`"})
    allow_download: bool = field(default=False, metadata={"help": "let `datasets` fetch the hub copy"})

    def load(self) -> Loaded:
        """Read, number the answers from 0, check.

        Raises:
            DataError: the file is unusable, no source is given, or the answers contradict `answer_base`.
        """
        if self.answer_base not in BASES:
            raise ConfigError(f"dataset.answer_base is {self.answer_base!r}; accepted: {', '.join(BASES)}.")
        source = self.path or f"{self.hub_id} ({self.split})"
        entries = list(rows(self.path, encoding=self.encoding) if self.path else self._hub_rows())
        require_columns(source, entries, ("id", "question", *OPTIONS, "cop"))
        base = _answer_base(source, entries, self.answer_base, default=None if self.path else 0)
        return collect((_item(source, entry, base) for entry in entries), self.on_bad_row)

    def _hub_rows(self) -> Iterable[Entry]:
        if not self.allow_download:
            raise DataError(
                "MedMCQA needs a source: set dataset.path=FILE (JSON lines as the authors publish it, or Parquet), "
                f"or dataset.allow_download=true to fetch {self.hub_id} from the hub."
            )
        try:
            import datasets

            table = datasets.load_dataset(self.hub_id, split=self.split)
        except Exception as error:  # the hub fails in dozens of types; to the user they mean one thing
            raise DataError(
                f"{self.hub_id}, split {self.split}: not to be had from the hub: {type(error).__name__}: {error}. "
                "Set dataset.path=FILE to read a copy of your own."
            ) from error
        return (Row(number, dict(values)) for number, values in enumerate(table, start=1))


def _answer_base(source: str, entries: list[Entry], asked: str, default: int | None) -> int:
    """0 or 1: what the first option is numbered as, checked against the rows.

    Only a 0 or a 4 tells the two apart. `default` is what the source is known for, used when neither is seen.
    """
    first = _first_rows(entries)
    if not any(number in first for number in range(5)):
        raise DataError(
            f"{source}: no row has an answer (`cop`) of 0 to 4. The labels of the test split are not public; "
            "use the train or validation split."
        )
    if 0 in first and 4 in first:
        raise DataError(
            f"{source}: row {first[0]} has the answer 0 and row {first[4]} the answer 4; "
            "options are numbered 0-3 or 1-4, not both. Mend the file."
        )
    seen = 0 if 0 in first else 1 if 4 in first else None
    known = int(asked) if asked != "auto" else default
    if seen is None and known is not None:
        return known
    if seen is None:
        raise DataError(
            f"{source}: no answer is 0 or 4, so 0-3 and 1-4 cannot be told apart. "
            "Set dataset.answer_base=0 (hub copy) or dataset.answer_base=1 (the authors' files)."
        )
    if known not in (None, seen):
        raise DataError(
            f"{source}: options should be numbered from {known}, but row {first[4 * seen]} has the answer {4 * seen}. "
            f"Set dataset.answer_base={seen}, or mend the row."
        )
    return seen


def _first_rows(entries: list[Entry]) -> dict[int, int]:
    """The first row of each answer number."""
    first: dict[int, int] = {}
    for entry in entries:
        if isinstance(entry, Row) and (number := whole_number(entry.values.get("cop"))) is not None:
            first.setdefault(number, entry.number)
    return first


def _item(source: str, entry: Entry, base: int) -> Item | Rejected:
    if isinstance(entry, Rejected):
        return entry
    values = entry.values
    subject = values.get("subject_name")
    return build(
        Raw(
            source=source,
            row=entry.number,
            id=values.get("id"),
            question=values.get("question"),
            options=tuple(values.get(column) for column in OPTIONS),
            answer=values.get("cop"),
            answer_kind=f"index{base}",
            subject=None if fold(subject) == "unknown" else clean(subject),
            topic=values.get("topic_name"),
            explanation=values.get("exp"),
            fact=values.get("id"),
        )
    )
