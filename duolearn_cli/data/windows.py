"""Windows: the parts of a document that fit into a model."""

from __future__ import annotations

from collections.abc import Callable

from duolearn_cli.data.documents import Document, Window
from duolearn_cli.errors import DataError


def windows(document: Document, length: int, overlap: int, count_tokens: Callable[[str], int]) -> tuple[Window, ...]:
    """Return the windows of a document, of at most `length` tokens each, that share `overlap` tokens of context.

    Raises:
        DataError: the document does not fit.
    """
    size = count_tokens(document.text)
    if size > length:
        raise DataError(
            f"{document.source or 'data'}, row {document.row} (id {document.id}): the document has {size} tokens; "
            f"allowed: {length}. Raise prompt.max_tokens."
        )
    return (Window(document, 0, 0, len(document.text)),)
