"""The items of a study as its data sets give them, labels in one spelling, and what a user must know of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from duolearn_cli.concepts.hierarchy import Hierarchy, Target
from duolearn_cli.config.components import component, dataset_name
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.data.items import Item, Loaded
from duolearn_cli.data.labels import near_miss_notes, unified
from duolearn_cli.data.option_references import needs_options, without_needing
from duolearn_cli.data.second_dataset import its_settings, joined, safely_kept
from duolearn_cli.data.shuffling import with_shuffled_copies
from duolearn_cli.errors import DataError


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was read. `added` are the ids of the items that come from the second data set, ``retain_from``.

    `notes` are sentences about what was read otherwise than it stands, was left out, or nearly matches the target.
    """

    loaded: Loaded
    added: frozenset[str]
    notes: tuple[str, ...]

    def safely_kept(self, items: Sequence[Item], target: Target) -> tuple[list[Item], list[str]]:
        """Leave out what is about the target among the items of the second data set; with a sentence that says so."""
        return safely_kept(items, self.added, target) if self.added else (list(items), [])


def gather(config: RunConfig, target: Target, hierarchy: Hierarchy) -> Gathered:
    """Read the data sets, leave out what the prompt cannot ask, and spell labels as the target and hierarchy do.

    Raises:
        DataError: a data set is not usable, or no item can be asked with this prompt.
    """
    loaded, added = _loaded(config)
    loaded, left_out = _askable(loaded, config)
    items, spelled = unified(loaded.items, target.labels, hierarchy)
    notes = (*loaded.notes, *left_out, *spelled, *near_miss_notes(items, target))
    return Gathered(replace(loaded, items=tuple(items)), added, notes)


def _loaded(config: RunConfig) -> tuple[Loaded, frozenset[str]]:
    """The data set, with the second one where there is one, and the ids of the items that come from that."""
    loaded = component(config.dataset, config.plugins).load()
    if config.retain_from is None:
        return loaded, frozenset()
    try:
        second = component(config.retain_from, config.plugins).load()
    except DataError as error:
        raise DataError(its_settings(str(error))) from error
    return joined(loaded, second, dataset_name(config.retain_from))


def _askable(loaded: Loaded, config: RunConfig) -> tuple[Loaded, list[str]]:
    """Leave out of a cloze study the items whose options speak of each other: a cloze prompt does not show them."""
    if config.prompt.form != "cloze":
        return loaded, []
    kept, rejected = without_needing(loaded.items)
    if not rejected:
        return loaded, []
    if not kept:
        raise DataError(
            f"all {len(rejected)} items have options that speak of each other (row {rejected[0].row}: "
            f"{rejected[0].detail}). Set prompt.form=letter, which shows them."
        )
    note = (
        f"{len(rejected)} items are left out, for their options speak of each other (none of the above, both A and B) "
        "and a cloze prompt does not show them; prompt.form=letter asks them."
    )
    return replace(loaded, items=tuple(kept), rejected=(*loaded.rejected, *rejected)), [note]


def with_copies(items: Sequence[Item], config: RunConfig) -> tuple[list[Item], list[str]]:
    """Add held-out copies with shuffled options where the prompt shows options; say which items have none."""
    if config.prompt.form != "letter" or not config.split.shuffled_copies:
        return list(items), []
    found = list(with_shuffled_copies(items, config.split.seed))
    asked_otherwise = {item.fact_id for item in found if item.heldout}
    fixed = [item for item in items if item.fact_id not in asked_otherwise]
    placed = sum(map(needs_options, items)) - len(fixed)
    notes = []
    if fixed:
        notes.append(
            f"{len(fixed)} items have no copy with shuffled options: their options name places (both A and B), or the "
            "right one has to stay at the end (none of the above)."
        )
    if placed > 0:
        notes.append(f'{placed} items keep options such as "none of the above" at the end of their shuffled copies.')
    return found, notes
