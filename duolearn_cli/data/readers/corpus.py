"""Plain texts to learn and to forget, such as those of MUSE (Shi et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from duolearn_cli.config.settings import setting
from duolearn_cli.data.cleaning import clean
from duolearn_cli.data.items import BAD_ROW_POLICIES, Loaded, Rejected
from duolearn_cli.data.readers.document_rows import MIN_WORDS, RawDocument, read_documents
from duolearn_cli.data.readers.parts import HELP, Part, parts_of
from duolearn_cli.data.readers.row_notes import Notes
from duolearn_cli.data.readers.tabular import MAP, require_columns, rows
from duolearn_cli.data.readers.text_files import is_text, text_files


@dataclass
class Fields:
    """The column of each field of a text in a table file."""

    text: str = setting("text", "column of the text")
    id: str | None = setting(None, "column of the id; null: a hash of the text")
    subject: str | None = setting(None, "column of the kind; null: the name of the part")


@dataclass
class Corpus:
    """Running texts from one file, or from several that are named: what is forgotten, what is kept.

    The name of a part is the subject of its texts, so that ``forget.subjects`` can name it.
    """

    path: str | None = setting(None, "table file with texts, .txt file or folder of .txt files")
    parts: dict[str, str] = setting({}, HELP)
    fields: Fields = setting(Fields, "columns of the fields of a text")
    min_words: int = setting(MIN_WORDS, "shorter texts are rejected", minimum=1)
    on_bad_row: str = setting("skip", "stop at a bad row, or leave it out", choices=BAD_ROW_POLICIES)
    encoding: str = setting("utf-8", "encoding of the files")

    def load(self) -> Loaded:
        """Read and check the texts.

        Raises:
            DataError: no file is set, a file lacks a mapped column, or it cannot be used.
        """
        notes = Notes()
        parts = parts_of(self.path, self.parts, "a corpus")
        raws = (raw for part in parts for raw in self._part(part, notes))
        return read_documents(raws, self.on_bad_row, self.min_words, notes)

    def _part(self, part: Part, notes: Notes) -> Iterator[RawDocument | Rejected]:
        texts = text_files(part.path, self.encoding, notes) if is_text(part.path) else self._table(part.path)
        for raw in texts:
            # A part's name comes before the ids of its rows, since two files may count from 1.
            if isinstance(raw, RawDocument):
                raw = replace(raw, id=part.id(clean(raw.id)), subject=clean(raw.subject) or part.name)
            yield raw

    def _table(self, path: str) -> Iterator[RawDocument | Rejected]:
        entries = list(rows(path, encoding=self.encoding))
        named = (self.fields.text, self.fields.id, self.fields.subject)
        require_columns(path, entries, [column for column in named if column], MAP)
        for entry in entries:
            if isinstance(entry, Rejected):
                yield entry
                continue
            text, name, subject = (entry.values.get(column) if column else None for column in named)
            yield RawDocument(path, entry.number, name, text, subject=subject)
