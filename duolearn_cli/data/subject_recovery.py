"""Guess the label of an item from its concepts, for items without a label or with a doubtful one (our definition).

A label is a subject, or ``SUBJECT/TOPIC`` if the forget target names a topic. Each concept votes for the labels of its
nearest labelled ancestors. If enough items are labelled, a logistic regression over concepts, their ancestors and these
votes learns how this data set labels; docs/hierarchy.md compares the two.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from duolearn_cli.concepts.hierarchy import Hierarchy
from duolearn_cli.data.items import Item

FOLDS = 5
# With fewer labelled items nothing is fitted, and the votes alone decide.
MIN_LABELLED = 50


@dataclass(frozen=True, slots=True)
class Guess:
    """The most likely label and its probability; (None, 0) if an item mentions no concept that leads to a label."""

    label: str | None
    confidence: float


def label_of(item: Item, topics: Collection[str]) -> str | None:
    """Return the item's label: ``SUBJECT/TOPIC`` if it is one of `topics`, else the subject; None without a label."""
    with_topic = f"{item.subject}/{item.topic}"
    return with_topic if with_topic in topics else item.subject


def votes(concepts: Sequence[str], hierarchy: Hierarchy, labels: Collection[str]) -> dict[str, float]:
    """Return each label's share of the votes of `concepts`. Shares sum to one; empty if no concept leads to a label.

    Each concept has one vote, split evenly over the labels of its nearest labelled ancestors; a concept with a label
    votes for its own. A topic that is not one of `labels` counts for its subject.
    """
    counts: dict[str, float] = defaultdict(float)
    for concept in concepts:
        reached = _nearest_labels(concept, hierarchy, labels)
        for label in reached:
            counts[label] += 1 / len(reached)
    total = sum(counts.values())
    return {label: count / total for label, count in counts.items()}


def _nearest_labels(concept: str, hierarchy: Hierarchy, labels: Collection[str]) -> set[str]:
    """Return the labels on the nearest labelled layer at or above `concept`."""
    level, seen = {concept}, set()
    while level:
        own = {label if label in labels else label.partition("/")[0] for c in level for label in hierarchy[c].subjects}
        if own & set(labels):
            return own & set(labels)
        seen |= level
        level = {parent for c in level for parent in hierarchy[c].parents} - seen
    return set()


class Recovery:
    """Guesses labels: with a model fitted on labelled items if there are enough of them, else by votes alone.

    Args:
        hierarchy: the hierarchy of the concepts.
        concepts: for each of n labelled items, the ids of the concepts that it mentions.
        item_labels: the n labels of these items.
        labels: all labels that a guess may name: those of items and those of the hierarchy.
    """

    def __init__(
        self,
        hierarchy: Hierarchy,
        concepts: Sequence[Sequence[str]],
        item_labels: Sequence[str],
        labels: Collection[str],
    ) -> None:
        self._hierarchy, self._labels = hierarchy, frozenset(labels)
        self._model: Any = None
        usable = [(c, label) for c, label in zip(concepts, item_labels, strict=True) if c]
        if len(usable) >= MIN_LABELLED and len({label for _, label in usable}) > 1:
            self._model = _fitted([self._features(c) for c, _ in usable], [label for _, label in usable])

    def guess(self, concepts: Sequence[Sequence[str]]) -> list[Guess]:
        """Return a guess for each item; `concepts` are the concepts that each item mentions."""
        by_votes = [votes(c, self._hierarchy, self._labels) for c in concepts]
        if self._model is None:
            return [_best(shares) for shares in by_votes]
        return [
            # Without a concept the model knows only how frequent labels are, which is no reason for a guess.
            _best(shares) if c else Guess(None, 0.0)
            for c, shares in zip(concepts, self._probabilities(concepts), strict=True)
        ]

    def _probabilities(self, concepts: Sequence[Sequence[str]]) -> list[dict[str, float]]:
        if not concepts:
            return []
        rows = self._model.predict_proba([self._features(c) for c in concepts])
        return [dict(zip(self._model.classes_, map(float, row), strict=True)) for row in rows]

    def _features(self, concepts: Sequence[str]) -> dict[str, float]:
        # With ancestors, so that a rare concept shares features with its siblings.
        known = {f"concept {c}": 1.0 for c in self._hierarchy.ancestors(concepts)}
        return known | {
            f"votes {label}": share for label, share in votes(concepts, self._hierarchy, self._labels).items()
        }


def _fitted(features: Sequence[Mapping[str, float]], labels: Sequence[str]) -> Any:
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from threadpoolctl import threadpool_limits

    # The matrix products are small: on a busy machine, threads that wait for each other take ten times as long as one.
    with threadpool_limits(limits=1):
        return make_pipeline(DictVectorizer(), LogisticRegression(max_iter=1000)).fit(features, labels)


def _best(shares: Mapping[str, float]) -> Guess:
    if not shares:
        return Guess(None, 0.0)
    label = max(sorted(shares), key=shares.__getitem__)  # sorted: a tie always goes to the same label
    return Guess(label, shares[label])


def cross_guess(
    hierarchy: Hierarchy,
    concepts: Sequence[Sequence[str]],
    item_labels: Sequence[str],
    facts: Sequence[str],
    labels: Collection[str],
) -> list[Guess]:
    """Return a guess for each of n labelled items, from a `Recovery` that was not fitted on the item's fact.

    This is cross-validation with five folds over facts; the arguments are those of `Recovery`, and the n facts.
    """
    from sklearn.model_selection import GroupKFold

    guesses: list[Guess] = [Guess(None, 0.0)] * len(item_labels)
    num_folds = min(FOLDS, len(set(facts)))
    if num_folds < 2:
        return Recovery(hierarchy, [], [], labels).guess(concepts)
    splitter: Any = GroupKFold(num_folds, shuffle=True, random_state=0)
    for folds in splitter.split(item_labels, groups=facts):
        train, test = (list(map(int, fold)) for fold in folds)
        recovery = Recovery(hierarchy, [concepts[i] for i in train], [item_labels[i] for i in train], labels)
        for i, guess in zip(test, recovery.guess([concepts[i] for i in test]), strict=True):
            guesses[i] = guess
    return guesses
