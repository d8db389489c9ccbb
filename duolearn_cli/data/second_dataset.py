"""Retain items from a second data set (``retain_from``), for instance if the first one is all about the target."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from duolearn_cli.concepts.hierarchy import Target
from duolearn_cli.data.documents import Document
from duolearn_cli.data.items import Item, Loaded

# Readers write their messages for the first data set, whose settings begin with "dataset.".
_SETTING = re.compile(r"\bdataset\.(?=(?:path|fields|encoding|on_bad_row|answer_base|allow_download|hub_id|split)\b)")


def for_second_dataset(message: str) -> str:
    """Return a reader's message with the settings of the second data set instead of those of the first."""
    return f"retain_from: {_SETTING.sub('retain_from.', message)}"


def joined(loaded: Loaded, second: Loaded, name: str) -> tuple[Loaded, frozenset[str]]:
    """Return the items of both data sets, and the ids of those from the second.

    Ids and facts of the second get its `name` as a prefix, because two data sets may use the same ones.
    """
    added = [replace(item, id=f"{name}:{item.id}", fact=item.fact and f"{name}:{item.fact}") for item in second.items]
    whole = Loaded(
        (*loaded.items, *added),
        (*loaded.rejected, *second.rejected),
        (*loaded.notes, *map(for_second_dataset, second.notes)),
        loaded.policy,
        (*loaded.documents, *(_named(document, name) for document in second.documents)),
    )
    return whole, frozenset(item.id for item in added)


def _named(document: Document, name: str) -> Document:
    """Return a document of the second data set, with its name before the id and before facts, as items have it."""
    spans = (replace(span, fact=span.fact and f"{name}:{span.fact}") for span in document.spans)
    return replace(document, id=f"{name}:{document.id}", spans=tuple(spans))


def without_target(items: Sequence[Item], added: Collection[str], target: Target) -> tuple[list[Item], list[str]]:
    """Leave out the items of the second data set (`added`) that are about the target, by label or by any concept.

    Concepts count because its labels may be coarser than the target's: a question about anxiety may be labelled
    Psychiatry.

    Returns:
        The remaining items of both data sets, and a sentence with the numbers.
    """
    remaining = [item for item in items if item.id not in added or not _is_about(item, target)]
    dropped, num_added = len(items) - len(remaining), sum(item.id in added for item in remaining)
    note = f"retain_from: {num_added} items are added to retain; {dropped} about {target.name} are left out."
    return remaining, [note]


def _is_about(item: Item, target: Target) -> bool:
    labelled = target.covers(item.subject, item.topic, item.concepts)
    return (labelled or not target.forget.isdisjoint(item.concepts)) and target.scope.holds(item.patient, item.date)
