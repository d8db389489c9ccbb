"""What is kept may come from a second data set: where the first one is all about the target, for instance."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from duolearn_cli.concepts.hierarchy import Target
from duolearn_cli.data.items import Item, Loaded

# Readers name their settings as those of the first data set.
_SETTING = re.compile(r"\bdataset\.(?=(?:path|fields|encoding|on_bad_row|answer_base|allow_download|hub_id|split)\b)")


def its_settings(message: str) -> str:
    """A reader's message with the settings of the second data set in place of those of the first."""
    return f"retain_from: {_SETTING.sub('retain_from.', message)}"


def joined(loaded: Loaded, second: Loaded, name: str) -> tuple[Loaded, frozenset[str]]:
    """The items of both data sets, and the ids of those from the second, which are prefixed by its `name`.

    Facts are prefixed too: two sets may number theirs alike.
    """
    added = [replace(item, id=f"{name}:{item.id}", fact=item.fact and f"{name}:{item.fact}") for item in second.items]
    whole = Loaded(
        (*loaded.items, *added),
        (*loaded.rejected, *second.rejected),
        (*loaded.notes, *map(its_settings, second.notes)),
    )
    return whole, frozenset(item.id for item in added)


def safely_kept(items: Sequence[Item], added: Collection[str], target: Target) -> tuple[list[Item], list[str]]:
    """Leave out of the second data set what is about the target, by label or by a concept of its; say how much.

    Its labels may be coarser than the target's: a question about anxiety is labelled Psychiatry there.
    """
    kept = [item for item in items if item.id not in added or not _is_about(item, target)]
    dropped, num_kept = len(items) - len(kept), sum(item.id in added for item in kept)
    note = f"retain_from: {num_kept} items are added to what is kept; {dropped} about {target.name} are left out."
    return kept, [note]


def _is_about(item: Item, target: Target) -> bool:
    labelled = target.covers(item.subject, item.topic, item.concepts)
    return labelled or not target.forget.isdisjoint(item.concepts)
