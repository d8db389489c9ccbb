"""Earlier requests: which items the starting model has already forgotten, so that no run retains or learns them again.

The setting `forgotten` names earlier requests by words: a forget preset, a concept or a data label.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.concepts.hierarchy import Hierarchy, Target, resolve_target
from duolearn_cli.concepts.labels import label_key
from duolearn_cli.config.forget import ForgetTarget
from duolearn_cli.data.duplicates import find_duplicates
from duolearn_cli.data.items import Item
from duolearn_cli.files import conf_dir, groups

CUSTOM = "custom"
# Presets that say nothing by themselves: they need concepts, patients or days.
OPEN = (CUSTOM, "patient")
EARLIER = "earlier"  # the name of the split of items that earlier requests forgot
UNKNOWN = "forget_unknown"  # the name of the split of forget items that a given target does not know


@dataclass(frozen=True)
class Forgotten:
    """The items that earlier requests have forgotten.

    `counts` has the number of items that each word of the setting `forgotten` covers. `duplicates` is the number of
    further items that are near duplicates of them. `unknown` are words that are not a preset, a concept or a label of
    the data. `items` are the covered items, without the near duplicates.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    duplicates: int = 0
    unknown: tuple[str, ...] = ()
    items: tuple[Item, ...] = ()

    def sentence(self) -> str:
        """Return one line that says what is left out; empty without earlier requests."""
        if not self.counts:
            return ""
        named = ", ".join(f"{word} {count}" for word, count in self.counts.items())
        alike = f", and neither are {self.duplicates} near duplicates of them" * bool(self.duplicates)
        return f"{named} items of earlier requests are neither retained nor learned{alike}"

    def as_dict(self) -> dict[str, int]:
        """Return the counts for metrics.json: items by word, and near duplicates if there are any."""
        return {**self.counts, **({"near_duplicates": self.duplicates} if self.duplicates else {})}


def without_forgotten(
    items: Sequence[Item],
    words: Sequence[str],
    requested: Collection[str],
    hierarchy: Hierarchy,
    similarity: float | None,
) -> tuple[list[Item], Forgotten]:
    """Return the items without the facts that `words` cover and without near duplicates of those.

    Args:
        items: all items.
        words: the setting `forgotten`.
        requested: the facts of the new request. They always stay: they are to be forgotten now.
        hierarchy: the hierarchy that resolves the words.
        similarity: the threshold of near duplicates; None: near duplicates stay.
    """
    labels = {label for item in items for label in _labels(item)}
    counts, gone, unknown = dict[str, int](), set[str](), list[str]()
    for word in dict.fromkeys(words):
        targets = covers(word, hierarchy)
        if not targets and label_key(word) not in labels:
            unknown.append(word)
        facts = _facts(items, targets, word).difference(requested)
        counts[word] = sum(item.fact_id in facts for item in items)
        gone |= facts
    left = [item for item in items if item.fact_id not in gone]
    covered = tuple(item for item in items if item.fact_id in gone)
    # Near duplicates are searched only among what is left, and never among the requested facts.
    if not gone or similarity is None:
        return left, Forgotten(counts, 0, tuple(unknown), covered)
    alike = near_facts(left, covered, requested, similarity)
    remaining = [item for item in left if item.fact_id not in alike]
    return remaining, Forgotten(counts, len(left) - len(remaining), tuple(unknown), covered)


def touched_facts(items: Sequence[Item], targets: Sequence[Target]) -> set[str]:
    """Facts with an item that one of `targets` covers or that mentions what it seeks."""
    return _facts(items, targets, None)


def covers(word: str, hierarchy: Hierarchy) -> list[Target]:
    """Return the target that a word means: the preset of that name, else the concept. Empty if it is neither.

    A word that is neither may still be a data label.
    """
    spec = preset(word)
    if spec is None and (node := hierarchy.lookup(word)) is not None:
        spec = ForgetTarget(word, [node])
    return [resolve_target(spec, hierarchy)] if spec else []


def presets() -> list[str]:
    """Return the names of the forget presets that ship with the package, without those that say nothing alone."""
    return [name for name in groups()["forget"] if name not in OPEN]


def preset(name: str) -> ForgetTarget | None:
    """Return the forget preset of that name, or None if there is none."""
    if name not in presets():
        return None
    document = cast(DictConfig, OmegaConf.load(conf_dir() / "forget" / f"{name}.yaml"))
    return spec_of(document.forget)


def spec_of(node: DictConfig) -> ForgetTarget:
    """Return a configured forget target as an object."""
    return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(ForgetTarget), node))  # type: ignore[return-value]


def words_of(spec: ForgetTarget, hierarchy: Hierarchy) -> list[str]:
    """Return words for the setting `forgotten` that cover everything that `spec` forgets.

    They are the name of the preset if `spec` equals one, else its concepts and labels. The words cannot express
    exceptions (``forget.keep``), so exceptions count as forgotten.
    """
    if preset(spec.name) == spec:
        return [spec.name]
    # Boundary concepts are named one by one, because a concept's name alone stands for the target without its boundary.
    boundary = sorted(resolve_target(_preserving(spec), hierarchy).boundary) if spec.boundary == "forget" else []
    return list(dict.fromkeys([*spec.concepts, *spec.add, *spec.subjects, *boundary]))


def _preserving(spec: ForgetTarget) -> ForgetTarget:
    return ForgetTarget(spec.name, spec.concepts, spec.add, spec.keep, spec.subjects)


def _labels(item: Item) -> tuple[str, ...]:
    """Return an item's labels, SUBJECT and SUBJECT/TOPIC, in the form in which labels are compared."""
    return (label_key(item.subject), label_key(f"{item.subject}/{item.topic or ''}")) if item.subject else ()


def _facts(items: Sequence[Item], targets: Sequence[Target], label: str | None) -> set[str]:
    """Return facts with an item that has the label, is covered by a target, or mentions a concept that a target seeks.

    One mention is enough here, unlike in `data.about`: what may have been forgotten must not be learned again.
    """
    return {
        item.fact_id
        for item in items
        if (label is not None and label_key(label) in _labels(item))
        or any(_is_touched(item, target) for target in targets)
    }


def _is_touched(item: Item, target: Target) -> bool:
    mentions = target.covers(item.subject, item.topic, item.concepts) or not target.sought.isdisjoint(item.concepts)
    return mentions and target.scope.holds(item.patient, item.date)


def near_facts(left: Sequence[Item], gone: Sequence[Item], requested: Collection[str], similarity: float) -> set[str]:
    """Return the facts of `left`, without the `requested` ones, that have a near duplicate among the items `gone`."""
    others = [item for item in left if item.fact_id not in requested]
    fact = {item.id: item.fact_id for item in others}
    pairs = find_duplicates({"gone": gone, "left": others}, similarity)
    return {fact[pair.id_b if pair.group_b == "left" else pair.id_a] for pair in pairs}
