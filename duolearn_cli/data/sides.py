"""Choose the side of each item: forget, retain or neither, and record why.

The retain side must be safe. An item that may contain knowledge to forget enters neither side, because retaining it
would protect that knowledge.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from duolearn_cli.concepts.hierarchy import Hierarchy, Target
from duolearn_cli.concepts.matcher import Mention
from duolearn_cli.config.schema import LabelsConfig
from duolearn_cli.data.about import about
from duolearn_cli.data.items import Item
from duolearn_cli.data.subject_recovery import Guess, Recovery, label_of

FORGET, RETAIN, NEITHER = "forget", "retain", "neither"
# From a text to its mentions.
Find = Callable[[str], Sequence[Mention]]
# From an item to the ids of the concepts that its text mentions.
Mentions = Callable[[Item], Sequence[str]]


@dataclass(frozen=True, slots=True, eq=False)
class ConceptView:
    """What labels are inferred from: the forget target, its hierarchy, and the concepts in an item's text."""

    target: Target
    hierarchy: Hierarchy
    mentions: Mentions


@dataclass(frozen=True, slots=True)
class Doubt:
    """An item whose label does not decide its side. It is a line of doubts.jsonl.

    given: the item's label, or None.
    guess: the label that the item's concepts point to; for a borderline item the target's name.
    confidence: the probability of the guess; for a borderline item its score (`data.about`).
    outcome: what happened to the item: "filled" (the guess became its label), "undecided" (no confident guess),
        "mentions_target" (it would be retained but mentions a target concept), "borderline" (it mentions the target in
        passing), "conflicting" or "left_out" (its concepts contradict its label).
    """

    id: str
    given: str | None
    guess: str | None
    confidence: float
    outcome: str


@dataclass(frozen=True, eq=False)
class Sides:
    """The sides of all items.

    items: the items that enter a side, with filled subjects.
    forget: the facts to forget.
    sought: those of them that are about the target, whatever their label.
    doubts: the items whose label did not decide their side.
    placed: (side, reason) of every item, by item id.
    """

    items: tuple[Item, ...]
    forget: frozenset[str]
    sought: frozenset[str]
    doubts: tuple[Doubt, ...]
    placed: Mapping[str, tuple[str, str]]

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """The number of items by side and reason: {side: {reason: items}}."""
        counts: dict[str, dict[str, int]] = {FORGET: {}, RETAIN: {}, NEITHER: {}}
        for side, why in self.placed.values():
            counts[side][why] = counts[side].get(why, 0) + 1
        return counts

    def cut(self, remaining: Sequence[Item], why: str) -> Sides:
        """Return the sides with only the `remaining` items; the others enter neither side, for the reason `why`."""
        gone = {item.id for item in self.items} - {item.id for item in remaining}
        return replace(self, items=tuple(remaining), placed={**self.placed, **dict.fromkeys(gone, (NEITHER, why))})


def mentions_by(find: Find) -> Mentions:
    """Return a function that lists the concepts in an item's question and options, each once, by first mention."""

    def mentions(item: Item) -> list[str]:
        texts = (item.question, *item.options)
        return list(dict.fromkeys(mention.concept for text in texts for mention in find(text)))

    return mentions


def choose_sides(
    items: Sequence[Item],
    target: Target,
    hierarchy: Hierarchy,
    find: Find,
    labels: LabelsConfig,
    threshold: float,
    declared: Collection[str] = (),
) -> Sides:
    """Choose sides by label and, if the target seeks concepts, by what an item is about. A fact has one side.

    Args:
        items: all items.
        target: the resolved forget target.
        hierarchy: the hierarchy of the target.
        find: returns the mentions in a text.
        labels: how missing labels are treated.
        threshold: the score (`data.about`) from which an item is about the target's concepts.
        declared: ids of items whose data set names their concepts. These concepts decide, not the text's mentions.
    """
    # Items about the target are found first: they need no label, so their labels are not guessed.
    scores = _about(items, target, hierarchy, find, set(declared))
    sought = {fact for fact, score in scores.items() if score >= threshold}
    passing = scores.keys() - sought
    filled, guessed = fill_subjects(items, ConceptView(target, hierarchy, mentions_by(find)), labels, sought)
    by_label = {
        item.fact_id
        for item in filled
        if target.covers(item.subject, item.topic, item.concepts) and target.scope.holds(item.patient, item.date)
    }
    forget = by_label | sought
    passing -= forget
    # A fact that mentions the target only in passing is not safe to retain, so it enters neither side.
    entering = [item for item in filled if item.fact_id not in passing]
    doubts = [
        *(doubt for doubt, item in _with_items(guessed, items) if item.fact_id not in passing),
        *(
            Doubt(item.id, _label(item, target), target.name, scores[item.fact_id], "borderline")
            for item in items
            if item.fact_id in passing
        ),
    ]
    outcomes = {doubt.id: doubt.outcome for doubt in doubts}
    placed = {item.id: _side(item, outcomes.get(item.id), forget, sought - by_label, target) for item in items}
    return Sides(tuple(entering), frozenset(forget), frozenset(sought), tuple(doubts), placed)


def _about(
    items: Sequence[Item], target: Target, hierarchy: Hierarchy, find: Find, declared: set[str]
) -> dict[str, float]:
    """Return the score of each fact that mentions a sought concept: the highest score of its phrasings."""
    scores: dict[str, float] = {}
    if not target.sought:
        return scores
    for item in items:
        # Outside the scope, knowledge about the target is kept: another patient's operation, for one.
        if not target.scope.holds(item.patient, item.date):
            continue
        if item.id in declared:
            score = float(not target.sought.isdisjoint(item.concepts))
        else:
            score = about(item, find, target.sought, target.boundary, lambda concept: hierarchy[concept].level)
        if score > 0:
            scores[item.fact_id] = max(score, scores.get(item.fact_id, 0.0))
    return scores


def _with_items(doubts: Sequence[Doubt], items: Sequence[Item]) -> list[tuple[Doubt, Item]]:
    by_id = {item.id: item for item in items}
    return [(doubt, by_id[doubt.id]) for doubt in doubts]


def _label(item: Item, target: Target) -> str | None:
    return label_of(item, {label for label in target.labels if "/" in label})


def _side(
    item: Item, outcome: str | None, forget: Collection[str], sought: Collection[str], target: Target
) -> tuple[str, str]:
    """Return the side of an item and the reason. `sought` are the facts that are forgotten only by content."""
    # Doubt comes before all other reasons: an item that may hold knowledge to forget must not be retained.
    if outcome in ("undecided", "mentions_target", "borderline"):
        return NEITHER, outcome
    if item.fact_id in sought:
        return FORGET, "about"
    if not target.scope.holds(item.patient, item.date):
        return RETAIN, "outside_scope"
    if target.is_everything:
        return FORGET, "in_scope"
    if outcome == "filled":
        why = "guessed_label"
    elif not target.labels:
        why = "not_about"
    else:
        why = "no_label" if item.subject is None else "given_label"
    return (FORGET if item.fact_id in forget else RETAIN), why


def fill_subjects(
    items: Sequence[Item], view: ConceptView, labels: LabelsConfig, settled: Collection[str] = ()
) -> tuple[list[Item], list[Doubt]]:
    """Give unlabelled items the subject (and topic) that their concepts point to, if the guess is confident enough.

    An item without a confident guess is left out, because it might contain knowledge to forget and must not be
    retained. So is an item that would be retained but mentions a target concept, also with ``labels.fill=false``.
    Facts in `settled` need no label. If the target has no labels, no item needs one.

    Returns:
        The remaining items with filled subjects, and one doubt for each item that was filled or left out.
    """
    target = view.target
    unlabelled = [item for item in items if item.subject is None and item.fact_id not in settled]
    if not target.labels or not unlabelled:
        return list(items), []
    # Labels are guessed for whole facts, from the mentions of all phrasings: phrasings must not end on two sides.
    by_fact: dict[str, dict[str, None]] = defaultdict(dict)
    for item in unlabelled:
        by_fact[item.fact_id].update(dict.fromkeys(view.mentions(item)))
    guesses = dict.fromkeys(by_fact, Guess(None, 0.0))
    if labels.fill:
        recovery = _recovery(items, view)
        guesses = dict(zip(by_fact, recovery.guess([list(concepts) for concepts in by_fact.values()]), strict=True))
    entering, doubts = [], []
    for item in items:
        if item.subject is not None or item.fact_id not in guesses:
            entering.append(item)
            continue
        guess = guesses[item.fact_id]
        subject, _, topic = (guess.label or "").partition("/")
        outcome = _outcome(guess, not target.forget.isdisjoint(by_fact[item.fact_id]), target, labels)
        if outcome == "filled":
            entering.append(replace(item, subject=subject, topic=topic or None))
        if outcome == "unlabelled":
            entering.append(item)
        else:
            doubts.append(Doubt(item.id, None, guess.label, guess.confidence, outcome))
    return entering, doubts


def _outcome(guess: Guess, mentions_target: bool, target: Target, labels: LabelsConfig) -> str:
    """Return what happens to an item without a label."""
    if not labels.fill:
        return "mentions_target" if mentions_target else "unlabelled"
    if guess.label is None or guess.confidence < labels.threshold:
        return "undecided"
    # A guess of another label is too weak a reason to retain an item that mentions the target.
    return "mentions_target" if mentions_target and guess.label not in target.labels else "filled"


def _recovery(items: Sequence[Item], view: ConceptView) -> Recovery:
    """Return a `Recovery` that is fitted on the labelled items."""
    topics = {label for label in view.target.labels if "/" in label}
    labelled = [item for item in items if item.subject is not None]
    own_labels = [label_of(item, topics) or "" for item in labelled]
    of_concepts = (label for concept in view.hierarchy.concepts.values() for label in concept.subjects)
    known = _as_item_labels({*own_labels, *view.target.labels, *of_concepts}, topics)
    return Recovery(view.hierarchy, [view.mentions(item) for item in labelled], own_labels, known)


def _as_item_labels(labels: set[str], topics: set[str]) -> set[str]:
    """Return labels in the form of `label_of`: a topic that the target does not name counts as its subject."""
    return {label if label in topics else label.partition("/")[0] for label in labels}
