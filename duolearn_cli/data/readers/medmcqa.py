"""MedMCQA (Pal et al. 2022): four options, 21 subjects, from a file or, when allowed, from the hub."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from duolearn_cli.config.settings import setting
from duolearn_cli.data.cleaning import clean, whole_number
from duolearn_cli.data.items import BAD_ROW_POLICIES, Loaded, Rejected
from duolearn_cli.data.readers.fills import label
from duolearn_cli.data.readers.raw import Raw
from duolearn_cli.data.readers.reading import read
from duolearn_cli.data.readers.row import Entry, Row
from duolearn_cli.data.readers.tabular import require_columns, rows
from duolearn_cli.errors import ConfigError, DataError

OPTIONS = ("opa", "opb", "opc", "opd")
BASES = ("auto", "0", "1")
_TRUSTED = 0.01  # share of the rows below which an answer may be a slip
_MANY = 10  # rows against an answer base that was asked for


@dataclass
class MedMCQA:
    """The MedMCQA data set; `load` reads it."""

    path: str | None = setting(None, "JSON lines, CSV or Parquet file; null: the hub copy")
    hub_id: str = setting("openlifescienceai/medmcqa", "data set on the Hugging Face hub")
    split: str = setting("train", "split of the hub copy (test has no labels)", choices=["train", "validation", "test"])
    answer_base: str = setting("auto", "number of the first option in `cop`; auto: seen in the data", choices=BASES)
    on_bad_row: str = setting("skip", "stop at a bad row, or leave it out", choices=BAD_ROW_POLICIES)
    encoding: str = setting("utf-8", "encoding of the file at `path`")
    allow_download: bool = setting(False, "let `datasets` fetch the hub copy")

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
        return read(source, [_raw(source, entry, base) for entry in entries], self.on_bad_row, base_is_known=True)

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
    """0 or 1: what the first option is numbered as.

    Only a 0 or a 4 tells the two apart, and a few of either may be bad rows. `asked` is believed unless no row speaks
    for it and many against; `default` is what the source is known for.
    """
    first, counts = _answers(source, entries)
    speaks = {0: counts[0], 1: counts[4]}
    needed = _TRUSTED * counts.total()
    base = default if asked == "auto" else int(asked)
    if base is not None:
        least = needed if asked == "auto" else max(_MANY, 10 * needed)
        if speaks[1 - base] >= least and not (asked != "auto" and speaks[base]):
            raise _contradiction(source, base, first)
        return base
    proven = [base for base, count in speaks.items() if count and count >= needed]
    if len(proven) == 1:
        return proven[0]
    if proven:
        raise DataError(
            f"{source}: row {first[0]} has the answer 0 and row {first[4]} the answer 4 ({counts[0]} and {counts[4]} "
            f"of {counts.total()} rows); options are numbered 0-3 or 1-4, not both. Mend the file, or set "
            "dataset.answer_base=0 or dataset.answer_base=1 to leave the other rows out."
        )
    raise DataError(
        f"{source}: {counts[0] or 'no'} answer is 0 and {counts[4] or 'none'} is 4, so 0-3 and 1-4 cannot be told "
        "apart. Set dataset.answer_base=0 (hub copy) or dataset.answer_base=1 (the authors' files)."
    )


def _contradiction(source: str, base: int, first: dict[int, int]) -> DataError:
    other = 4 * (1 - base)
    return DataError(
        f"{source}: options should be numbered from {base}, but row {first[other]} has the answer {other}. "
        f"Set dataset.answer_base={1 - base}, or mend the row."
    )


def _answers(source: str, entries: list[Entry]) -> tuple[dict[int, int], Counter[int]]:
    """The first row of each answer number, and how many rows have it.

    Raises:
        DataError: no row has a number that could be an answer.
    """
    first: dict[int, int] = {}
    counts: Counter[int] = Counter()
    given = [(entry.number, entry.values.get("cop")) for entry in entries if isinstance(entry, Row)]
    for row, value in given:
        if (number := whole_number(value)) is not None:
            first.setdefault(number, row)
            counts[number] += 1
    if any(number in counts for number in range(5)):
        return first, counts
    strange = next(((row, value) for row, value in given if clean(value) and whole_number(value) != -1), None)
    if strange:
        raise DataError(
            f"{source}: no row has an answer (`cop`) of 0 to 4; row {strange[0]} has {strange[1]!r}. "
            "Give the number of the right option."
        )
    raise DataError(
        f"{source}: no row has an answer (`cop`) of 0 to 4. The labels of the test split are not public; "
        "use the train or validation split."
    )


def _raw(source: str, entry: Entry, base: int) -> Raw | Rejected:
    if isinstance(entry, Rejected):
        return entry
    values = entry.values
    return Raw(
        source=source,
        row=entry.number,
        id=values.get("id"),
        question=values.get("question"),
        options=tuple(values.get(column) for column in OPTIONS),
        answer=values.get("cop"),
        answer_kind=f"index{base}",
        subject=label(values.get("subject_name")),
        topic=values.get("topic_name"),
        explanation=values.get("exp"),
        fact=values.get("id"),
    )
