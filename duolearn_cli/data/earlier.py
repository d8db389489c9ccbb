"""What the model to begin with has forgotten: which items that is, so that nothing of it is kept or learned again."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.concepts.hierarchy import Hierarchy, Target, resolve_target
from duolearn_cli.concepts.labels import label_key
from duolearn_cli.config.forget import ForgetTarget
from duolearn_cli.data.duplicates import find_duplicates
from duolearn_cli.data.items import Item
from duolearn_cli.files import conf_dir, groups

CUSTOM = "custom"
# The split of items that earlier requests forgot.
EARLIER = "earlier"


@dataclass(frozen=True)
class Forgotten:
    """How many items each word of `forgotten` leaves out, and how many more are near duplicates of these.

    `unknown` are words that are no preset, no concept and no label of the data; `items` are what the words cover.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    duplicates: int = 0
    unknown: tuple[str, ...] = ()
    items: tuple[Item, ...] = ()

    def sentence(self) -> str:
        """What is left out, for people; empty where nothing was asked for."""
        if not self.counts:
            return ""
        named = ", ".join(f"{word} {count}" for word, count in self.counts.items())
        alike = f"; {self.duplicates} near duplicates of them too" * bool(self.duplicates)
        return f"{named} items, forgotten before, are neither kept nor learned{alike}"

    def as_dict(self) -> dict[str, int]:
        """Counts by word, and of near duplicates where there are any."""
        return {**self.counts, **({"near_duplicates": self.duplicates} if self.duplicates else {})}


def without_forgotten(
    items: Sequence[Item], words: Sequence[str], asked: Collection[str], hierarchy: Hierarchy, similarity: float | None
) -> tuple[list[Item], Forgotten]:
    """Leave out every fact that a word covers, and what is nearly the same.

    Args:
        asked: the facts of the new request, which stay.
        similarity: from which items are near duplicates; None: they are not looked for.
    """
    labels = {label for item in items for label in _labels(item)}
    counts, gone, unknown = dict[str, int](), set[str](), list[str]()
    for word in dict.fromkeys(words):
        targets = covers(word, hierarchy)
        if not targets and label_key(word) not in labels:
            unknown.append(word)
        found = _facts(items, targets, word).difference(asked)
        counts[word] = sum(item.fact_id in found for item in items)
        gone |= found
    left = [item for item in items if item.fact_id not in gone]
    covered = tuple(item for item in items if item.fact_id in gone)
    if not gone or similarity is None:
        return left, Forgotten(counts, 0, tuple(unknown), covered)
    alike = _near(left, covered, asked, similarity)
    kept = [item for item in left if item.fact_id not in alike]
    return kept, Forgotten(counts, len(left) - len(kept), tuple(unknown), covered)


def covers(word: str, hierarchy: Hierarchy) -> list[Target]:
    """What a word stands for: the preset of that name, else the concept; nothing where it may be a data label."""
    spec = preset(word)
    if spec is None and (node := hierarchy.lookup(word)) is not None:
        spec = ForgetTarget(word, [node])
    return [resolve_target(spec, hierarchy)] if spec else []


def presets() -> list[str]:
    """The names of the shipped forget presets that name what to forget."""
    return [name for name in groups()["forget"] if name != CUSTOM]


def preset(name: str) -> ForgetTarget | None:
    """What a shipped forget preset says; None where there is none of that name."""
    if name not in presets():
        return None
    document = cast(DictConfig, OmegaConf.load(conf_dir() / "forget" / f"{name}.yaml"))
    return spec_of(document.forget)


def spec_of(node: DictConfig) -> ForgetTarget:
    """A configured forget target as an object."""
    return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(ForgetTarget), node))  # type: ignore[return-value]


def words_of(spec: ForgetTarget, hierarchy: Hierarchy) -> list[str]:
    """The words of `forgotten` that cover all that `spec` forgets: its preset's name, or its concepts and labels.

    Exceptions (``forget.keep``) count as forgotten: they were not protected by a preset's name alone.
    """
    if preset(spec.name) == spec:
        return [spec.name]
    boundary = sorted(resolve_target(_preserving(spec), hierarchy).boundary) if spec.boundary == "forget" else []
    return list(dict.fromkeys([*spec.concepts, *spec.add, *spec.subjects, *boundary]))


def came_back(models: Mapping[str, Any]) -> dict[str, str]:
    """What metrics.json warns of where items of earlier requests are known again, by measure.

    Known again: the unlearned model's share of right answers, or of answers that it gives of itself, is above that of
    the model to begin with, their intervals apart.
    """
    before, after = ((models.get(name) or {}).get("splits", {}).get(EARLIER) for name in ("target", "unlearned"))
    found = {}
    for key, said in (("accuracy", "are answered right"), ("recall", "are answered without options")):
        old, new = ((split or {}).get(key) or {} for split in (before, after))
        if _number(new, "low") > _number(old, "high"):
            found[f"{EARLIER}_{key}"] = (
                f"What earlier requests had forgotten came back: {100 * new['value']:.1f} % of their items {said}, "
                f"{100 * old['value']:.1f} % before this request."
            )
    return found


def _number(estimate: Mapping[str, Any], key: str) -> float:
    """Not a number where there is none, which no comparison holds for."""
    value = estimate.get(key)
    return math.nan if value is None else float(value)


def _preserving(spec: ForgetTarget) -> ForgetTarget:
    return ForgetTarget(spec.name, spec.concepts, spec.add, spec.keep, spec.subjects)


def _labels(item: Item) -> tuple[str, ...]:
    """An item's labels, SUBJECT and SUBJECT/TOPIC, as they are compared."""
    return (label_key(item.subject), label_key(f"{item.subject}/{item.topic or ''}")) if item.subject else ()


def _facts(items: Sequence[Item], targets: Sequence[Target], label: str | None) -> set[str]:
    """Facts with an item that a target covers or that mentions what it seeks, or that has the label however spelled.

    One mention is enough: what may have been forgotten must not be learned again.
    """
    return {
        item.fact_id
        for item in items
        if (label is not None and label_key(label) in _labels(item))
        or any(
            target.covers(item.subject, item.topic, item.concepts) or not target.sought.isdisjoint(item.concepts)
            for target in targets
        )
    }


def _near(left: Sequence[Item], gone: Sequence[Item], asked: Collection[str], similarity: float) -> set[str]:
    """Facts of `left`, but for those `asked` for, of which an item is a near duplicate of one that is gone."""
    others = [item for item in left if item.fact_id not in asked]
    fact = {item.id: item.fact_id for item in others}
    pairs = find_duplicates({"gone": gone, "left": others}, similarity)
    return {fact[pair.id_b if pair.group_b == "left" else pair.id_a] for pair in pairs}
