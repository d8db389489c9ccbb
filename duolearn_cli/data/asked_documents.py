"""Documents that come without questions: their mentions become facts, which are asked by continuing the text."""

from __future__ import annotations

from dataclasses import replace

from duolearn_cli.concepts.hierarchy import Hierarchy
from duolearn_cli.concepts.matcher import Matcher
from duolearn_cli.data.items import Loaded
from duolearn_cli.data.probes import with_facts
from duolearn_cli.data.verbatim_probes import probes, with_passages
from duolearn_cli.data.windows import windows
from duolearn_cli.errors import DataError

# The words before a mention that a probe may show, with those of the window before it. No tokenizer is needed to count.
WORDS, OVERLAP = 200, 60


def with_probes(loaded: Loaded, hierarchy: Hierarchy, seed: int) -> Loaded:
    """Return the data with an item for each mention that can be asked for, and with mentions as spans of documents.

    All mentions of a concept about one patient are one fact, in items and spans alike.

    Raises:
        DataError: no mention can be asked for.
    """
    find = Matcher(hierarchy).find
    documents = tuple(with_facts(document, find, hierarchy) for document in loaded.documents)
    cut = [one for document in documents for one in windows(document, WORDS, OVERLAP, lambda text: len(text.split()))]
    items = probes(cut, find, hierarchy, seed=seed)
    if not items:
        raise DataError(
            f"none of the {len(documents)} documents can be asked for: they mention no concept of the hierarchy that "
            "another document could be confused with, and have no paragraph of two sentences. Choose another hierarchy "
            "or give more documents; `duolearn hierarchy coverage` shows what they mention."
        )
    note = f"{len(documents)} documents have no questions: {len(items)} are made of what they mention."
    return replace(loaded, items=items, documents=with_passages(documents, items), notes=(*loaded.notes, note))
