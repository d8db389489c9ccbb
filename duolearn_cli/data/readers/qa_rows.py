"""One row of questions with free answers, and the items that it becomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from duolearn_cli.config.settings import setting
from duolearn_cli.data.cleaning import clean, fold
from duolearn_cli.data.items import Rejected
from duolearn_cli.data.readers.checks import content_id
from duolearn_cli.data.readers.fills import label
from duolearn_cli.data.readers.option_cells import read_cell
from duolearn_cli.data.readers.parts import Part
from duolearn_cli.data.readers.raw import Raw
from duolearn_cli.data.readers.row import Entry, Row
from duolearn_cli.data.wrong_answers import Asked, options_of

FORGOTTEN, KEPT = "forget", "retain"  # the subjects that dataset.forget_ids and dataset.fields.forget give
_FLAGS = {"true": FORGOTTEN, "yes": FORGOTTEN, "1": FORGOTTEN, "1.0": FORGOTTEN, FORGOTTEN: FORGOTTEN}


@dataclass
class QaFields:
    """The column of each field of a question; null if there is none. The defaults are TOFU's."""

    id: str | None = setting(None, "column of the id; null: a hash of question and answer")
    question: str = setting("question", "column of the question")
    answer: str = setting("answer", "column of the right answer")
    paraphrased_question: str | None = setting("paraphrased_question", "column of the question in other words")
    paraphrased_answer: str | None = setting("paraphrased_answer", "column of the right answer in other words")
    perturbed_answer: str | None = setting("perturbed_answer", "column of wrong answers, a list")
    subject: str | None = setting(None, "column of the subject, which forget.subjects names, such as the author")
    forget: str | None = setting(None, "column of true or false: it gives the subject forget or retain")
    fact: str | None = setting(None, "column with the same value for rows about the same fact; null: the id")
    concepts: str | None = setting(None, "column of concept ids, a list or separated by |")
    patient: str | None = setting(None, "column with the same value for rows about the same person")
    date: str | None = setting(None, "column of the day of the fact, best as YYYY-MM-DD")


# The columns that a file may lack, as long as the setting is the default: plain TOFU has none of them.
_OPTIONAL = ("paraphrased_question", "paraphrased_answer", "perturbed_answer")


@dataclass(frozen=True, slots=True)
class Answered:
    """One row: its fields by name, and the part and the id that it has."""

    part: Part
    row: int
    name: str
    values: Mapping[str, Any]

    @property
    def asked(self) -> Asked:
        """Question and answer as clean text. The fact is named as in `raw_items`."""
        question, answer = clean(self.values.get("question")), clean(self.values.get("answer"))
        return Asked(question, answer, self.fact)

    @property
    def fact(self) -> str:
        return clean(self.values.get("fact")) or self.name


def columns_of(mapping: QaFields, entries: Sequence[Entry]) -> dict[str, str]:
    """Return {field: column} without the fields that have none. Optional ones may keep a default that no row has."""
    held = {column for entry in entries if isinstance(entry, Row) for column in entry.values}
    columns = {field: column for field, column in vars(mapping).items() if column}
    return {field: name for field, name in columns.items() if name in held or field not in _OPTIONAL or name != field}


def answered(part: Part, entry: Entry, columns: Mapping[str, str]) -> Answered | Rejected:
    """Return the fields of a row, without checks other than those of its id and of the list of wrong answers."""
    if isinstance(entry, Rejected):
        return entry
    values = {field: entry.values.get(column) for field, column in columns.items()}
    name = part.id(clean(values.get("id"))) or content_id(values.get("question"), (values.get("answer"),))
    wrong = _wrong(values.get("perturbed_answer"))
    if isinstance(wrong, str):
        return Rejected(part.path, entry.number, name, "malformed_row", f"perturbed_answer {wrong}")
    subject = part.name or label(values.get("subject"))
    if "forget" in columns:
        subject = _FLAGS.get(fold(values["forget"]), KEPT)
    return Answered(part, entry.number, name, {**values, "perturbed_answer": wrong, "subject": subject})


def _wrong(value: object) -> tuple[object, ...] | str:
    """Return a row's own wrong answers, or the rest of a sentence that says why they cannot be read."""
    if not isinstance(value, list | tuple | dict) and not clean(value):
        return ()
    # Spreadsheets and CSV hold the list as text.
    cell = read_cell(value)
    return cell if isinstance(cell, str) else tuple(option for option in cell.options if clean(option))


def raw_items(row: Answered, drawn: Sequence[str], seed: int) -> Iterator[Raw]:
    """Yield the raw item of a row, and one for its paraphrase as a held-out phrasing of the same fact.

    Args:
        drawn: wrong answers for a row that has none of its own.
        seed: decides where the right answer stands among the options.
    """
    values = row.values
    wrong = values["perturbed_answer"] or drawn
    yield _raw(row, row.name, values.get("question"), values.get("answer"), wrong, seed)
    question, answer = values.get("paraphrased_question"), values.get("paraphrased_answer")
    if clean(question) or clean(answer):
        question = question if clean(question) else values.get("question")
        answer = answer if clean(answer) else values.get("answer")
        yield _raw(row, f"{row.name}-paraphrase", question, answer, wrong, seed, heldout=True)


def _raw(
    row: Answered,
    name: str,
    question: object,
    answer: object,
    wrong: Sequence[object],
    seed: int,
    heldout: bool = False,
) -> Raw:
    values = row.values
    # Wrong answers that equal the right one, or each other, add nothing; TOFU has some.
    seen = {fold(answer)}
    others = [one for one in wrong if not (fold(one) in seen or seen.add(fold(one)))]
    options, place = options_of(name, answer, others, seed)
    return Raw(
        source=row.part.path,
        row=row.row,
        id=name,
        question=question,
        options=options,
        answer=place,
        answer_kind="index0",
        subject=values["subject"],
        concepts=_concepts(values.get("concepts")),
        fact=row.fact,
        heldout=heldout,
        patient=values.get("patient"),
        date=values.get("date"),
    )


def _concepts(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, list) else tuple(clean(value).split("|"))
