"""Subjects from concepts: what an item without a label, or with a doubtful one, is about (our definition).

A label is what a forget target is chosen by: a subject, or ``SUBJECT/TOPIC`` where the target asks for a topic. Each
concept votes for the labels of its nearest labelled ancestors; where enough items are labelled, a logistic regression
over concepts, their ancestors and these votes learns from them how to read the votes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from duolearn_cli.concepts.hierarchy import Hierarchy
from duolearn_cli.data.items import Item

FOLDS = 5
# Fewer labelled items of a label than folds cannot be learned from and judged at once: the votes alone decide then.
MIN_LABELLED = 50


@dataclass(frozen=True, slots=True)
class Guess:
    """The likeliest label and its probability; label None where an item mentions no concept that has one."""

    label: str | None
    confidence: float


def label_of(item: Item, topics: Collection[str]) -> str | None:
    """The item's label: ``SUBJECT/TOPIC`` if `topics` holds it, else the subject; None for an unlabelled item."""
    with_topic = f"{item.subject}/{item.topic}"
    return with_topic if with_topic in topics else item.subject


def votes(concepts: Sequence[str], hierarchy: Hierarchy, labels: Collection[str]) -> dict[str, float]:
    """Share of each label in `concepts`, summing to one; empty where none of them leads to a label.

    Each concept has one vote, split evenly over the labels of its nearest labelled ancestors, itself first. A topic
    that is none of `labels` counts for its subject.
    """
    found: dict[str, float] = defaultdict(float)
    for concept in concepts:
        reached = _nearest_labels(concept, hierarchy, labels)
        for label in reached:
            found[label] += 1 / len(reached)
    total = sum(found.values())
    return {label: count / total for label, count in found.items()}


def _nearest_labels(concept: str, hierarchy: Hierarchy, labels: Collection[str]) -> set[str]:
    level, seen = {concept}, set()
    while level:
        own = {label if label in labels else label.partition("/")[0] for c in level for label in hierarchy[c].subjects}
        if own & set(labels):
            return own & set(labels)
        seen |= level
        level = {parent for c in level for parent in hierarchy[c].parents} - seen
    return set()


class Recovery:
    """Guesses labels; learned from labelled items where there are enough, else by votes alone.

    Args:
        concepts: the concepts that each labelled item mentions.
        given: its label, in the same order.
        labels: every label that a guess may name; those given and those of the hierarchy.
    """

    def __init__(
        self, hierarchy: Hierarchy, concepts: Sequence[Sequence[str]], given: Sequence[str], labels: Collection[str]
    ) -> None:
        self._hierarchy, self._labels = hierarchy, frozenset(labels)
        self._model: Any = None
        usable = [(c, label) for c, label in zip(concepts, given, strict=True) if c]
        if len(usable) >= MIN_LABELLED and len({label for _, label in usable}) > 1:
            self._model = _learned([self._features(c) for c, _ in usable], [label for _, label in usable])

    def guess(self, concepts: Sequence[Sequence[str]]) -> list[Guess]:
        """The likeliest label of items that mention `concepts`."""
        by_votes = [votes(c, self._hierarchy, self._labels) for c in concepts]
        if self._model is None:
            return [_best(shares) for shares in by_votes]
        return [
            _best(shares) if c else Guess(None, 0.0)
            for c, shares in zip(concepts, self._probabilities(concepts), strict=True)
        ]

    def _probabilities(self, concepts: Sequence[Sequence[str]]) -> list[dict[str, float]]:
        if not concepts:
            return []
        rows = self._model.predict_proba([self._features(c) for c in concepts])
        return [dict(zip(self._model.classes_, map(float, row), strict=True)) for row in rows]

    def _features(self, concepts: Sequence[str]) -> dict[str, float]:
        known = {f"concept {c}": 1.0 for c in self._hierarchy.ancestors(concepts)}
        return known | {
            f"votes {label}": share for label, share in votes(concepts, self._hierarchy, self._labels).items()
        }


def _learned(features: Sequence[Mapping[str, float]], labels: Sequence[str]) -> Any:
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from threadpoolctl import threadpool_limits

    # The products are small: on a busy machine threads that wait for each other take ten times as long as one.
    with threadpool_limits(limits=1):
        return make_pipeline(DictVectorizer(), LogisticRegression(max_iter=1000)).fit(features, labels)


def _best(shares: Mapping[str, float]) -> Guess:
    if not shares:
        return Guess(None, 0.0)
    label = max(sorted(shares), key=shares.__getitem__)
    return Guess(label, shares[label])


def cross_guess(
    hierarchy: Hierarchy,
    concepts: Sequence[Sequence[str]],
    given: Sequence[str],
    facts: Sequence[str],
    labels: Collection[str],
) -> list[Guess]:
    """What `Recovery` guesses for each labelled item when it has not seen that item's fact: five folds over facts."""
    from sklearn.model_selection import GroupKFold

    found: list[Guess] = [Guess(None, 0.0)] * len(given)
    num_folds = min(FOLDS, len(set(facts)))
    if num_folds < 2:
        return Recovery(hierarchy, [], [], labels).guess(concepts)
    splitter: Any = GroupKFold(num_folds, shuffle=True, random_state=0)
    for folds in splitter.split(given, groups=facts):
        train, test = (list(map(int, fold)) for fold in folds)
        recovery = Recovery(hierarchy, [concepts[i] for i in train], [given[i] for i in train], labels)
        for i, guess in zip(test, recovery.guess([concepts[i] for i in test]), strict=True):
            found[i] = guess
    return found
