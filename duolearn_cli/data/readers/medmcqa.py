"""MedMCQA (Pal et al. 2022): four options and 21 subjects, from a file or, if allowed, from the Hugging Face hub."""

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
_TRUSTED = 0.01  # an answer in a smaller share of the rows may be a mistake
_MANY = 10  # the fewest rows that can contradict a configured answer base


@dataclass
class MedMCQA:
    """The MedMCQA data set."""

    path: str | None = setting(None, "JSON lines, CSV or Parquet file; null: the hub copy")
    hub_id: str = setting("openlifescienceai/medmcqa", "data set on the Hugging Face hub")
    split: str = setting("train", "split of the hub copy (test has no labels)", choices=["train", "validation", "test"])
    answer_base: str = setting("auto", "number of the first option in `cop`; auto: read from the data", choices=BASES)
    on_bad_row: str = setting("skip", "stop at a bad row, or leave it out", choices=BAD_ROW_POLICIES)
    encoding: str = setting("utf-8", "encoding of the file at `path`")
    allow_download: bool = setting(False, "let `datasets` fetch the hub copy")

    def load(self) -> Loaded:
        """Read the rows, find the base of the answers' numbers, and check.

        Raises:
            ConfigError: `answer_base` is not one of its allowed words.
            DataError: there is no source or it cannot be used, or the answers contradict `answer_base`.
        """
        if self.answer_base not in BASES:
            raise ConfigError(f"dataset.answer_base is {self.answer_base!r}; allowed: {', '.join(BASES)}.")
        source = self.path or f"{self.hub_id} ({self.split})"
        entries = list(rows(self.path, encoding=self.encoding) if self.path else self._hub_rows())
        require_columns(source, entries, ("id", "question", *OPTIONS, "cop"))
        # The hub copy counts from 0 and the authors' files count from 1, so only a file leaves the base open.
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
        except Exception as error:  # the hub raises dozens of types, which mean the same to the user
            raise DataError(
                f"{self.hub_id}, split {self.split}: the hub does not provide it: {type(error).__name__}: {error}. "
                "Set dataset.path=FILE to read a copy of your own."
            ) from error
        return (Row(number, dict(values)) for number, values in enumerate(table, start=1))


def _answer_base(source: str, entries: list[Entry], configured: str, default: int | None) -> int:
    """Return the number of the first option, 0 or 1.

    Only an answer of 0 or 4 shows which it is, and a few of either may be bad rows. The `configured` base is used
    unless many rows contradict it and none supports it. `default` is the known base of the source, or None.
    """
    first, counts = _answers(source, entries)
    support = {0: counts[0], 1: counts[4]}
    needed = _TRUSTED * counts.total()
    base = default if configured == "auto" else int(configured)
    if base is not None:
        # The user's setting outweighs ten times as many contradicting rows as what is known about the hub copy.
        least = needed if configured == "auto" else max(_MANY, 10 * needed)
        if support[1 - base] >= least and not (configured != "auto" and support[base]):
            raise _contradiction(source, base, first)
        return base
    proven = [base for base, count in support.items() if count and count >= needed]
    if len(proven) == 1:
        return proven[0]
    if proven:
        raise DataError(
            f"{source}: row {first[0]} has the answer 0 and row {first[4]} the answer 4 ({counts[0]} and {counts[4]} "
            f"of {counts.total()} rows); options are numbered 0-3 or 1-4, not both. Fix the file, or set "
            "dataset.answer_base=0 or dataset.answer_base=1 to leave the other rows out."
        )
    raise DataError(
        f"{source}: {counts[0] or 'no'} answer is 0 and {counts[4] or 'none'} is 4, so it is unclear whether options "
        "are numbered 0-3 or 1-4. Set dataset.answer_base=0 (hub copy) or dataset.answer_base=1 (the authors' files)."
    )


def _contradiction(source: str, base: int, first: dict[int, int]) -> DataError:
    other = 4 * (1 - base)
    return DataError(
        f"{source}: options should be numbered from {base}, but row {first[other]} has the answer {other}. "
        f"Set dataset.answer_base={1 - base}, or fix the row."
    )


def _answers(source: str, entries: list[Entry]) -> tuple[dict[int, int], Counter[int]]:
    """Return {answer number: its first row} and {answer number: number of rows}.

    Raises:
        DataError: no row has an answer from 0 to 4.
    """
    first: dict[int, int] = {}
    counts: Counter[int] = Counter()
    cells = [(entry.number, entry.values.get("cop")) for entry in entries if isinstance(entry, Row)]
    for row, value in cells:
        if (number := whole_number(value)) is not None:
            first.setdefault(number, row)
            counts[number] += 1
    if any(number in counts for number in range(5)):
        return first, counts
    # -1 marks a missing label, as in the test split, whose labels are not public.
    strange = next(((row, value) for row, value in cells if clean(value) and whole_number(value) != -1), None)
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
