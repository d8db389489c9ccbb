"""Questions with free answers, such as those of TOFU (Maini et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from duolearn_cli.config.settings import setting
from duolearn_cli.data.items import BAD_ROW_POLICIES, Loaded, Rejected
from duolearn_cli.data.readers.parts import HELP, Part, parts_of
from duolearn_cli.data.readers.qa_rows import FORGOTTEN, KEPT, Answered, QaFields, answered, columns_of, raw_items
from duolearn_cli.data.readers.raw import Raw
from duolearn_cli.data.readers.reading import read
from duolearn_cli.data.readers.row_notes import Notes
from duolearn_cli.data.readers.tabular import MAP, require_columns, rows
from duolearn_cli.data.wrong_answers import draw
from duolearn_cli.errors import DataError, nearest


@dataclass
class QuestionsAndAnswers:
    """Questions with free answers, and wrong answers where the file has them. Answers of other rows stand in for those.

    A paraphrase is a held-out phrasing: models are asked it and never train on it.
    """

    path: str | None = setting(None, "JSON lines, CSV, TSV, JSON or Parquet file")
    parts: dict[str, str] = setting({}, HELP)
    fields: QaFields = setting(QaFields, "columns of the fields of a question")
    forget_ids: list[str] = setting([], "ids of rows that get the subject forget; the others get the subject retain")
    wrong_answers: int = setting(3, "wrong answers for a row without any, drawn from other rows", minimum=1, maximum=20)
    seed: int = setting(0, "seed of the wrong answers that are drawn, and of the order of options", minimum=0)
    on_bad_row: str = setting("skip", "stop at a bad row, or leave it out", choices=BAD_ROW_POLICIES)
    encoding: str = setting("utf-8", "encoding of the file")

    def load(self) -> Loaded:
        """Read and check the questions.

        Raises:
            DataError: no file is set, a file lacks a mapped column, an id to forget is unknown, or no row is usable.
        """
        if (self.forget_ids or self.fields.forget) and (self.parts or self.fields.subject):
            raise DataError(
                "dataset.forget_ids and dataset.fields.forget make the subjects forget and retain, but dataset.parts "
                "and dataset.fields.subject give subjects already. Use one of these."
            )
        parts = parts_of(self.path, self.parts, "dataset=qa")
        entries = self._with_sides([row for part in parts for row in self._rows(part)])
        notes = Notes()
        raws = self._raws(entries, notes)
        source = ", ".join(part.path for part in parts)
        loaded = read(source, raws, self.on_bad_row, setting=None, base_is_known=True)
        return _with_trained_facts(replace(loaded, notes=(*notes.sentences(), *loaded.notes)))

    def _rows(self, part: Part) -> Iterator[Answered | Rejected]:
        entries = list(rows(part.path, encoding=self.encoding))
        columns = columns_of(self.fields, entries)
        require_columns(part.path, entries, list(columns.values()), MAP)
        # By file: parts may differ in their optional columns.
        return (answered(part, entry, columns) for entry in entries)

    def _with_sides(self, entries: Sequence[Answered | Rejected]) -> list[Answered | Rejected]:
        """Give the rows of `forget_ids` the subject forget, and all others the subject retain."""
        if not self.forget_ids:
            return list(entries)
        named, known = set(self.forget_ids), {entry.name for entry in entries if isinstance(entry, Answered)}
        if unknown := sorted(named - known):
            raise DataError(
                f"dataset.forget_ids: no row has the id {unknown[0]!r}{nearest(unknown[0], known)}. "
                "dataset.fields.id names the column of ids."
            )
        return [
            replace(entry, values={**entry.values, "subject": FORGOTTEN if entry.name in named else KEPT})
            if isinstance(entry, Answered)
            else entry
            for entry in entries
        ]

    def _raws(self, entries: Sequence[Answered | Rejected], notes: Notes) -> list[Raw | Rejected]:
        """Return the raw items, with wrong answers that are drawn for rows without any."""
        rows = [entry for entry in entries if isinstance(entry, Answered)]
        # A row that is rejected later gives no wrong answer either.
        usable = [row for row in rows if row.asked.question and row.asked.answer]
        asked = [row.asked for row in usable]
        without = [place for place, row in enumerate(usable) if not row.values["perturbed_answer"]]
        drawn = draw(asked, without, self.wrong_answers, self.seed)
        of_row = {(usable[place].part, usable[place].row): wrong for place, wrong in drawn.items()}
        for _, row in of_row:
            notes.add("a row has no wrong answers: answers of other rows stand in for them", row)
        raws: list[Raw | Rejected] = []
        for entry in entries:
            if isinstance(entry, Rejected):
                raws.append(entry)
            else:
                raws += raw_items(entry, of_row.get((entry.part, entry.row), ()), self.seed)
        return raws


def _with_trained_facts(loaded: Loaded) -> Loaded:
    """Leave out paraphrases whose own row is rejected: nothing would train on the fact that they ask for."""
    trained = {item.fact for item in loaded.items if not item.heldout}
    lost = [item for item in loaded.items if item.fact not in trained]
    rejected = [Rejected(one.source, one.row, one.id, "no_trained_phrasing", "its own row is rejected") for one in lost]
    kept = tuple(item for item in loaded.items if item.fact in trained)
    return replace(loaded, items=kept, rejected=(*loaded.rejected, *rejected))
