"""What a set of documents holds, for dry runs and tables: counts of documents, patients, days, mentions and words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from duolearn_cli.data.documents import Document

# The classes of words: to unlearn, to preserve, to preserve as kin of what is unlearned, neutral.
UNLEARN, PRESERVE, KIN, NEUTRAL = "U", "P", "kin", "N"
CLASSES = (UNLEARN, PRESERVE, KIN, NEUTRAL)
# The number of kinds of documents that a table names.
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Classed:
    """The characters ``text[start:end]`` of a document have the class `kind`, one of `CLASSES`."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True)
class DocumentTable:
    """Counts over documents.

    windows: the number of windows; None: not cut yet.
    patients, unnamed: patients, and documents that name none.
    first, last, undated: the first and the last day, and documents without one.
    subjects: documents by kind, the most frequent first; "" for none.
    mentions, words: mentions and words by class. Words outside of mentions are neutral. A token is a word or a part
        of one, so that these are the least tokens of each class.
    """

    documents: int
    windows: int | None
    patients: int
    unnamed: int
    first: str | None
    last: str | None
    undated: int
    subjects: Mapping[str, int]
    mentions: Mapping[str, int]
    words: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Return the counts for metrics.json."""
        return {**vars(self), **{key: dict(vars(self)[key]) for key in ("subjects", "mentions", "words")}}

    def rows(self) -> list[tuple[str, str]]:
        """Return (title, text) of each line of the table. Without classes, words are counted as a whole."""
        windows = f" in {self.windows:,} windows" if self.windows is not None else ""
        span = f"{self.first} to {self.last}" if self.first else "none"
        kinds = [f"{name or 'none'} {count:,}" for name, count in list(self.subjects.items())[:SHOWN]]
        more = len(self.subjects) - SHOWN
        return [
            ("documents", f"{self.documents:,}{windows}"),
            ("patients", f"{self.patients:,}{_without(self.unnamed, 'name none')}"),
            ("dates", f"{span}{_without(self.undated, 'have none')}"),
            ("subjects", ", ".join(kinds) + (f" and {more} more" if more > 0 else "")),
            *([("mentions", _by_class(self.mentions))] if self.mentions else []),
            ("words", _by_class(self.words) if self.mentions else f"{sum(self.words.values()):,}"),
        ]


def document_table(
    documents: Sequence[Document],
    num_windows: int | None = None,
    classed: Mapping[str, Sequence[Classed]] | None = None,
) -> DocumentTable:
    """Count documents, patients, days, mentions and words.

    Args:
        documents: the documents.
        num_windows: how many windows they are cut into; None: unknown.
        classed: by id of a document, its mentions without overlap; None: nothing is classed.
    """
    days = sorted(document.date for document in documents if document.date)
    mentions, words = Counter[str](), Counter[str]()
    for document in documents:
        own = (classed or {}).get(document.id, ())
        inside = Counter[str]()
        for one in own:
            mentions[one.kind] += 1
            inside[one.kind] += len(document.text[one.start : one.end].split())
        words.update(inside)
        # Not below 0, because a mention inside of a word counts as one.
        words[NEUTRAL] += max(0, len(document.text.split()) - inside.total())
    patients = Counter(document.patient for document in documents)
    unnamed = patients.pop(None, 0)
    return DocumentTable(
        documents=len(documents),
        windows=num_windows,
        patients=len(patients),
        unnamed=unnamed,
        first=days[0] if days else None,
        last=days[-1] if days else None,
        undated=len(documents) - len(days),
        subjects=dict(Counter(document.subject or "" for document in documents).most_common()),
        mentions=mentions,
        words=words,
    )


def _by_class(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{kind} {counts.get(kind, 0):,}" for kind in CLASSES if kind != NEUTRAL or kind in counts)


def _without(count: int, what: str) -> str:
    return f"; {count:,} documents {what}" if count else ""
