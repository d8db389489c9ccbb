"""What a run is about, known before any model is loaded: items, splits, hierarchy, forget target."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from duolearn_cli.composition import component
from duolearn_cli.concepts.hierarchy import Hierarchy, Target, resolve_target
from duolearn_cli.concepts.matcher import Matcher
from duolearn_cli.config import RunConfig
from duolearn_cli.data.duplicates import Duplicate, find_duplicates
from duolearn_cli.data.items import Item, Loaded
from duolearn_cli.data.shuffling import with_shuffled_copies
from duolearn_cli.data.splits import Splits, drop_duplicates, make_splits
from duolearn_cli.errors import DataError


@dataclass(frozen=True, eq=False)
class Study:
    """The cheap half of a run, all of it checked."""

    config: RunConfig
    hierarchy: Hierarchy
    target: Target
    matcher: Matcher
    loaded: Loaded
    splits: Splits
    duplicates: tuple[Duplicate, ...]

    def training_items(self, which: str) -> tuple[Item, ...]:
        """What the ``target`` (forget and retain) or the ``gold`` model (retain only) is trained on."""
        retain = self.splits.retain_train
        return (*self.splits.forget_train, *retain) if which == "target" else retain

    def summary(self) -> dict[str, Any]:
        """Item counts by split, rejected rows by reason, duplicates found."""
        sizes = {name: len(items) for name, items in self.splits.by_name().items()}
        return sizes | {"rejected": self.loaded.reasons(), "duplicates": len(self.duplicates)}


def load_hierarchy(config: RunConfig) -> Hierarchy:
    """Build the configured source and let it load. Raises DataError, ConfigError: see the source."""
    return component(config.hierarchy, config.plugins).load()


def prepare(config: RunConfig) -> Study:
    """Read and check everything that costs no model.

    Raises:
        DataError, ConfigError: the data, the hierarchy or the forget target are not usable, with the mend.
    """
    hierarchy = load_hierarchy(config)
    target = resolve_target(config.forget, hierarchy)
    loaded = component(config.dataset, config.plugins).load()
    matcher = Matcher(hierarchy)
    items = [_with_concepts(item, matcher) for item in loaded.items]
    if config.prompt.form == "letter" and config.split.shuffled_copies:
        items = list(with_shuffled_copies(items, config.split.seed))
    _check_labels(items, target)
    splits = make_splits(
        items,
        lambda item: target.covers(item.subject, item.topic, item.concepts),
        seed=config.split.seed,
        unseen_fraction=config.split.unseen_fraction,
        max_forget=config.split.max_forget,
        max_retain=config.split.max_retain,
    )
    duplicates: tuple[Duplicate, ...] = ()
    if config.split.near_duplicates != "ignore":
        duplicates = tuple(find_duplicates(splits.by_name(), config.split.similarity))
    if config.split.near_duplicates == "remove":
        splits = drop_duplicates(splits, duplicates)
    return Study(config, hierarchy, target, matcher, loaded, splits, duplicates)


def _with_concepts(item: Item, matcher: Matcher) -> Item:
    """An item that names no concepts gets those that its question and right answer mention."""
    return item if item.concepts else replace(item, concepts=matcher.concepts([item.question, item.answer_text]))


def _check_labels(items: list[Item], target: Target) -> None:
    if any(target.covers(item.subject, item.topic, item.concepts) for item in items):
        return
    if not target.labels:
        raise DataError(
            f"forget={target.name}: no item is about its {len(target.forget)} concepts; choose other concepts."
        )
    # Topics are shown only of subjects that the target asks a topic of.
    asked = {label.partition("/")[0] for label in target.labels if "/" in label}
    found = sorted({f"{i.subject}/{i.topic}" if i.topic and i.subject in asked else str(i.subject) for i in items})
    shown = ", ".join(found[:25]) + (" ..." if len(found) > 25 else "")
    raise DataError(
        f"forget={target.name}: no item is labelled {' or '.join(sorted(target.labels))}; the data set has: {shown}. "
        "Choose another forget target or data set, or name the labels: forget.subjects=[SUBJECT/TOPIC]."
    )
