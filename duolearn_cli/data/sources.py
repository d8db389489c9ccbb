"""Read a run's data sets: items with labels in one spelling, and notes about what a user should know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from duolearn_cli.concepts.hierarchy import Hierarchy, Target
from duolearn_cli.config.components import component, dataset_name
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.data.asked_documents import with_probes
from duolearn_cli.data.continuation import refuse_letters
from duolearn_cli.data.items import Item, Loaded
from duolearn_cli.data.labels import near_miss_notes, unified
from duolearn_cli.data.option_references import needs_options, without_needing
from duolearn_cli.data.second_dataset import for_second_dataset, joined, without_target
from duolearn_cli.data.shuffling import with_shuffled_copies
from duolearn_cli.errors import DataError


@dataclass(frozen=True, slots=True)
class Gathered:
    """The data that was read.

    `added` are the ids of the items from the second data set, ``retain_from``. `notes` are sentences about what was
    changed while reading, left out, or nearly matches the target.
    """

    loaded: Loaded
    added: frozenset[str]
    notes: tuple[str, ...]

    def without_target(self, items: Sequence[Item], target: Target) -> tuple[list[Item], list[str]]:
        """Return the items without those of the second data set that are about the target, and notes about that."""
        return without_target(items, self.added, target) if self.added else (list(items), [])


def gather(config: RunConfig, target: Target, hierarchy: Hierarchy) -> Gathered:
    """Read the data sets, leave out items that the prompt form cannot ask, and give labels one spelling.

    Raises:
        DataError: a data set cannot be used, or no item can be asked with this prompt form.
        ConfigError: the prompt form lists options, and an item continues a text.
    """
    loaded, added = _loaded(config, hierarchy)
    refuse_letters(loaded.items, config.prompt.form)
    loaded, left_out = _askable(loaded, config)
    items, spelled = unified(loaded.items, target.labels, hierarchy)
    notes = (*loaded.notes, *left_out, *spelled, *near_miss_notes(items, target))
    return Gathered(replace(loaded, items=tuple(items)), added, notes)


def _loaded(config: RunConfig, hierarchy: Hierarchy) -> tuple[Loaded, frozenset[str]]:
    """Return the data set, joined with the second one if there is one, and the ids of the second one's items."""
    loaded = _asked(component(config.dataset, config.plugins).load(), config, hierarchy)
    if config.retain_from is None:
        return loaded, frozenset()
    try:
        second = _asked(component(config.retain_from, config.plugins).load(), config, hierarchy)
    except DataError as error:
        raise DataError(for_second_dataset(str(error))) from error
    return joined(loaded, second, dataset_name(config.retain_from))


def _asked(loaded: Loaded, config: RunConfig, hierarchy: Hierarchy) -> Loaded:
    """Return a data set with items made of its documents, if it has nothing else to ask."""
    # Before two data sets are joined: the items of one say nothing of the other's documents.
    return with_probes(loaded, hierarchy, config.split.seed) if loaded.documents and not loaded.items else loaded


def _askable(loaded: Loaded, config: RunConfig) -> tuple[Loaded, list[str]]:
    """With cloze prompts, leave out items whose options refer to each other: a cloze prompt does not show options."""
    if config.prompt.form != "cloze":
        return loaded, []
    usable, rejected = without_needing(loaded.items)
    if not rejected:
        return loaded, []
    if not usable:
        raise DataError(
            f"all {len(rejected)} items have options that refer to each other (row {rejected[0].row}: "
            f"{rejected[0].detail}). Set prompt.form=letter, which shows them."
        )
    note = (
        f"{len(rejected)} items are left out: their options refer to each other (none of the above, both A and B), "
        "and a cloze prompt does not show options; prompt.form=letter can ask them."
    )
    return replace(loaded, items=tuple(usable), rejected=(*loaded.rejected, *rejected)), [note]


def with_copies(items: Sequence[Item], config: RunConfig) -> tuple[list[Item], list[str]]:
    """Add held-out copies with shuffled options if the prompt shows options.

    Returns:
        The items with their copies, and notes about items that have no copy or one that is only partly shuffled.
    """
    if config.prompt.form != "letter" or not config.split.shuffled_copies:
        return list(items), []
    with_all_copies = list(with_shuffled_copies(items, config.split.seed))
    with_heldout = {item.fact_id for item in with_all_copies if item.heldout}
    fixed = [item for item in items if item.fact_id not in with_heldout]
    placed = sum(map(needs_options, items)) - len(fixed)
    notes = []
    if fixed:
        notes.append(
            f"{len(fixed)} items have no copy with shuffled options: their options name letters (both A and B), or the "
            "right one has to stay at the end (none of the above)."
        )
    if placed > 0:
        notes.append(f'{placed} items keep options such as "none of the above" at the end of their shuffled copies.')
    return with_all_copies, notes
