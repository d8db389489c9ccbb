"""The unlearning request: which items to forget and which to keep, as far as imperfect labels tell.

Models learn and are measured on the items as they are; what unlearning is given may have faults, real ones or injected,
and this is where they are mended: missing subjects are filled from concepts, doubtful ones reported or left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from duolearn_cli.concepts.hierarchy import Hierarchy, Target
from duolearn_cli.config.schema import ImperfectConfig, LabelsConfig
from duolearn_cli.data import label_noise
from duolearn_cli.data.items import Item
from duolearn_cli.data.sides import Doubt, Mentions, fill_subjects
from duolearn_cli.data.subject_recovery import Guess, cross_guess, label_of
from duolearn_cli.errors import DataError


@dataclass(frozen=True, eq=False)
class Request:
    """Items to forget and to keep, the weight of each by id (1 where absent), and the doubtful ones."""

    forget: tuple[Item, ...]
    retain: tuple[Item, ...]
    weights: Mapping[str, float] = field(default_factory=dict)
    doubts: tuple[Doubt, ...] = ()

    def summary(self) -> dict[str, int]:
        """Counts of doubtful items by outcome."""
        return dict(Counter(doubt.outcome for doubt in self.doubts))


def make_request(
    forget: Sequence[Item],
    retain: Sequence[Item],
    target: Target,
    hierarchy: Hierarchy,
    mentions: Mentions,
    faults: ImperfectConfig,
    labels: LabelsConfig,
    settled: Collection[str] = (),
) -> Request:
    """Put the configured faults into the true forget and retain items, then mend what can be.

    Facts in `settled` are to be forgotten for what they are about: no fault of a label changes that.

    Raises:
        DataError: no item is left to forget or to keep.
    """
    truth = {item.id: (item, is_forget) for items, is_forget in ((forget, True), (retain, False)) for item in items}
    given = _faulty([*forget, *retain], faults)
    filled, doubts = fill_subjects(given, target, hierarchy, mentions, labels, settled)
    conflicting = _conflicts(
        [item for item in filled if item.fact_id not in settled], target, hierarchy, mentions, labels
    )
    left_out = {doubt.id for doubt in conflicting if doubt.outcome == "left_out"}
    sides: tuple[list[Item], list[Item]] = ([], [])
    for item in filled:
        if item.id not in left_out:
            sides[item.fact_id in settled or _is_forget(item, target, *truth[item.id])].append(item)
    kept, forgotten = sides
    if not kept or not forgotten:
        raise DataError(
            f"with these faults and labels {len(forgotten)} items are left to forget and {len(kept)} to keep; both are "
            "needed. Lower imperfect.* or labels.threshold, or set labels.conflicts=report."
        )
    weights = balance(forgotten, target, labels.balance) | balance(kept, target, labels.balance)
    return Request(tuple(forgotten), tuple(kept), weights, (*doubts, *conflicting))


def _faulty(items: Sequence[Item], faults: ImperfectConfig) -> list[Item]:
    items = label_noise.imbalanced(items, faults.imbalance, faults.seed)
    items = label_noise.with_wrong_answers(items, faults.wrong_answers, faults.seed)
    items = label_noise.with_wrong_subjects(items, faults.wrong_subjects, faults.seed)
    return label_noise.without_subjects(items, faults.missing_subjects, faults.seed)


def _is_forget(item: Item, target: Target, original: Item, was_forget: bool) -> bool:
    """By the label that is given now; an unchanged item stays where the splits have put it, with its fact."""
    if not target.labels or (item.subject, item.topic) == (original.subject, original.topic):
        return was_forget
    return target.covers(item.subject, item.topic, item.concepts)


def _conflicts(
    items: Sequence[Item], target: Target, hierarchy: Hierarchy, mentions: Mentions, labels: LabelsConfig
) -> list[Doubt]:
    """Items whose concepts, read by a model that has not seen them, clearly say another label than the given one."""
    topics = {label for label in target.labels if "/" in label}
    labelled = [item for item in items if label_of(item, topics) is not None]
    if labels.conflicts == "ignore" or not target.labels or not labelled:
        return []
    given = [label_of(item, topics) or "" for item in labelled]
    guesses = cross_guess(
        hierarchy,
        [mentions(item) for item in labelled],
        given,
        [item.fact_id for item in labelled],
        {*given, *target.labels},
    )
    return [
        Doubt(item.id, label, guess.label, guess.confidence, _outcome(label, guess, target, labels))
        for item, label, guess in zip(labelled, given, guesses, strict=True)
        if guess.label not in (None, label) and guess.confidence >= labels.conflict_threshold
    ]


def _outcome(given: str, guess: Guess, target: Target, labels: LabelsConfig) -> str:
    """Only a conflict over whether the item is to be forgotten can be left out; others change nothing."""
    crosses = (given in target.labels) != (guess.label in target.labels)
    return "left_out" if crosses and labels.conflicts == "leave_out" else "conflicting"


def balance(items: Sequence[Item], target: Target, exponent: float) -> dict[str, float]:
    """Weight by item id: ``(mean size of a subject / size of the item's) ** exponent``, scaled to a mean of one.

    Exponent 0 gives every item the same weight, 1 every subject. Empty where all weights are one.
    """
    if exponent == 0 or not items:
        return {}
    topics = {label for label in target.labels if "/" in label}
    sizes = Counter(label_of(item, topics) for item in items)
    mean_size = len(items) / len(sizes)
    raw = {item.id: (mean_size / sizes[label_of(item, topics)]) ** exponent for item in items}
    scale = len(raw) / sum(raw.values())
    return {name: weight * scale for name, weight in raw.items()}
