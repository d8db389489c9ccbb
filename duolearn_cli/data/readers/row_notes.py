"""Notes on rows that a reader accepted although it changed something, guessed, or saw something odd."""

from __future__ import annotations

from collections.abc import Iterator

SHOWN_ROWS = 3


class Notes:
    """Collects sentences about accepted rows, each with the rows that it applies to."""

    def __init__(self) -> None:
        self._rows: dict[str, list[int]] = {}

    def add(self, sentence: str, row: int | None = None) -> None:
        """Add `sentence` about one `row`, or about the whole file."""
        rows = self._rows.setdefault(sentence, [])
        if row is not None:
            rows.append(row)

    def sentences(self) -> tuple[str, ...]:
        """Return every sentence once, in the order of first use, with the number of rows and the first of them."""
        return tuple(self._sentences())

    def _sentences(self) -> Iterator[str]:
        for sentence, rows in self._rows.items():
            if not rows:
                yield f"{sentence}."
                continue
            shown = ", ".join(map(str, rows[:SHOWN_ROWS])) + (", ..." if len(rows) > SHOWN_ROWS else "")
            count = "1 row" if len(rows) == 1 else f"{len(rows)} rows"
            yield f"{sentence} ({count}: {shown})."
