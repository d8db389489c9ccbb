"""The unlearning request: the items to forget and to retain, as far as imperfect labels show them.

Models learn and are measured on the true items. The request that unlearning gets may have faults, real or injected.
This module injects the configured faults and repairs what it can: it fills missing subjects from concepts, and reports
doubtful labels or leaves their items out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from duolearn_cli.concepts.hierarchy import Target
from duolearn_cli.config.schema import ImperfectConfig, LabelsConfig
from duolearn_cli.data import label_noise
from duolearn_cli.data.items import Item
from duolearn_cli.data.sides import ConceptView, Doubt, fill_subjects
from duolearn_cli.data.subject_recovery import Guess, cross_guess, label_of
from duolearn_cli.errors import DataError


@dataclass(frozen=True, eq=False)
class Request:
    """The items to forget and to retain, their weights by item id (1 if absent), and the doubtful labels."""

    forget: tuple[Item, ...]
    retain: tuple[Item, ...]
    weights: Mapping[str, float] = field(default_factory=dict)
    doubts: tuple[Doubt, ...] = ()

    def summary(self) -> dict[str, int]:
        """Return {outcome: number of doubtful items}."""
        return dict(Counter(doubt.outcome for doubt in self.doubts))


def make_request(
    forget: Sequence[Item],
    retain: Sequence[Item],
    view: ConceptView,
    faults: ImperfectConfig,
    labels: LabelsConfig,
    settled: Collection[str] = (),
) -> Request:
    """Inject the configured faults into the true forget and retain items, then repair what can be repaired.

    Args:
        forget: the true items to forget.
        retain: the true items to retain.
        view: the resolved forget target, its hierarchy and the concepts in an item's text.
        faults: the faults to inject.
        labels: how missing and doubtful labels are treated.
        settled: facts that are forgotten because of what they are about. No fault of a label changes that.

    Raises:
        DataError: no item is left to forget or to retain.
    """
    target = view.target
    truth = {item.id: (item, is_forget) for items, is_forget in ((forget, True), (retain, False)) for item in items}
    faulty = _faulty([*forget, *retain], faults)
    filled, doubts = fill_subjects(faulty, view, labels, settled)
    conflicting = _conflicts([item for item in filled if item.fact_id not in settled], view, labels)
    left_out = {doubt.id for doubt in conflicting if doubt.outcome == "left_out"}
    sides: tuple[list[Item], list[Item]] = ([], [])
    for item in filled:
        if item.id not in left_out:
            sides[item.fact_id in settled or _is_forget(item, target, *truth[item.id])].append(item)
    # A truth value was the index, so side 0 is the one that is retained.
    retained, forgotten = sides
    if not retained or not forgotten:
        raise DataError(
            f"with these faults and labels {len(forgotten)} items are left to forget and {len(retained)} to retain; "
            "both are needed. Lower imperfect.* or labels.threshold, or set labels.conflicts=report."
        )
    weights = balance(forgotten, target, labels.balance) | balance(retained, target, labels.balance)
    return Request(tuple(forgotten), tuple(retained), weights, (*doubts, *conflicting))


def _faulty(items: Sequence[Item], faults: ImperfectConfig) -> list[Item]:
    # Imbalance comes first: it thins out the true subjects. Missing subjects come last: a wrong subject would otherwise
    # fill them again.
    items = label_noise.imbalanced(items, faults.imbalance, faults.seed)
    items = label_noise.with_wrong_answers(items, faults.wrong_answers, faults.seed)
    items = label_noise.with_wrong_subjects(items, faults.wrong_subjects, faults.seed)
    return label_noise.without_subjects(items, faults.missing_subjects, faults.seed)


def _is_forget(item: Item, target: Target, original: Item, was_forget: bool) -> bool:
    """Return whether an item is to be forgotten by its present label.

    An item whose label did not change stays on its side, together with its fact.
    """
    if not target.labels or (item.subject, item.topic) == (original.subject, original.topic):
        return was_forget
    return target.covers(item.subject, item.topic, item.concepts) and target.scope.holds(item.patient, item.date)


def _conflicts(items: Sequence[Item], view: ConceptView, labels: LabelsConfig) -> list[Doubt]:
    """Return the items whose concepts clearly point to another label than their own.

    The guess for an item comes from a model that was not fitted on the item's fact (cross-validation).
    """
    target = view.target
    topics = {label for label in target.labels if "/" in label}
    labelled = [item for item in items if label_of(item, topics) is not None]
    if labels.conflicts == "ignore" or not target.labels or not labelled:
        return []
    own_labels = [label_of(item, topics) or "" for item in labelled]
    guesses = cross_guess(
        view.hierarchy,
        [view.mentions(item) for item in labelled],
        own_labels,
        [item.fact_id for item in labelled],
        {*own_labels, *target.labels},
    )
    return [
        Doubt(item.id, label, guess.label, guess.confidence, _outcome(label, guess, target, labels))
        for item, label, guess in zip(labelled, own_labels, guesses, strict=True)
        if guess.label not in (None, label) and guess.confidence >= labels.conflict_threshold
    ]


def _outcome(label: str, guess: Guess, target: Target, labels: LabelsConfig) -> str:
    """Return what happens to an item with a conflict. It is only left out if the conflict concerns its side."""
    crosses = (label in target.labels) != (guess.label in target.labels)
    return "left_out" if crosses and labels.conflicts == "leave_out" else "conflicting"


def balance(items: Sequence[Item], target: Target, exponent: float) -> dict[str, float]:
    """Return a weight for each item id: ``(mean size of a subject / size of its subject) ** exponent``.

    Weights are scaled to a mean of one. With exponent 0 all items weigh the same (the result is empty), and with
    exponent 1 all subjects do.
    """
    if exponent == 0 or not items:
        return {}
    topics = {label for label in target.labels if "/" in label}
    sizes = Counter(label_of(item, topics) for item in items)
    mean_size = len(items) / len(sizes)
    raw = {item.id: (mean_size / sizes[label_of(item, topics)]) ** exponent for item in items}
    scale = len(raw) / sum(raw.values())
    return {name: weight * scale for name, weight in raw.items()}
