"""Which side each item enters, to forget or to keep, or neither, and why.

What is kept is safe: an item that may hold what is to be forgotten is left out of both sides rather than kept.
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
# Finds the mentions in a text.
Find = Callable[[str], Sequence[Mention]]
# The concepts that an item's text mentions.
Mentions = Callable[[Item], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Doubt:
    """An item whose side its label does not settle, and what was made of it.

    `given` is its label, None where it has none; `guess` the label that its concepts point to, or the target's name for
    an item that mentions the target in passing. `confidence` is the guess's probability, or how much of the item is
    about the target.
    """

    id: str
    given: str | None
    guess: str | None
    confidence: float
    outcome: str


@dataclass(frozen=True, eq=False)
class Sides:
    """Items that enter a side, with filled subjects; the facts to forget, and those of them that are for what they are
    about; the doubtful items; the side of every item and why, by id."""

    items: tuple[Item, ...]
    forget: frozenset[str]
    sought: frozenset[str]
    doubts: tuple[Doubt, ...]
    placed: Mapping[str, tuple[str, str]]

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Items by side and reason: {side: {why: items}}."""
        found: dict[str, dict[str, int]] = {FORGET: {}, RETAIN: {}, NEITHER: {}}
        for side, why in self.placed.values():
            found[side][why] = found[side].get(why, 0) + 1
        return found

    def cut(self, kept: Sequence[Item], why: str) -> Sides:
        """Only the `kept` of the items: the others enter neither side, for the reason `why`."""
        gone = {item.id for item in self.items} - {item.id for item in kept}
        return replace(self, items=tuple(kept), placed={**self.placed, **dict.fromkeys(gone, (NEITHER, why))})


def mentions_by(find: Find) -> Mentions:
    """The distinct concepts in an item's question and options, in order of first mention."""

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
    """Choose by label, and by what an item is about where the target seeks concepts. A fact has one side.

    Args:
        threshold: how much of an item must be about the target's concepts; see `data.about`.
        declared: ids of items whose data set says what they are about: it decides, whatever their text mentions.
    """
    scores = _about(items, target, hierarchy, find, set(declared))
    sought = {fact for fact, score in scores.items() if score >= threshold}
    passing = scores.keys() - sought
    filled, guessed = fill_subjects(items, target, hierarchy, mentions_by(find), labels, sought)
    by_label = {item.fact_id for item in filled if target.covers(item.subject, item.topic, item.concepts)}
    forget = by_label | sought
    passing -= forget
    kept = [item for item in filled if item.fact_id not in passing]
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
    return Sides(tuple(kept), frozenset(forget), frozenset(sought), tuple(doubts), placed)


def _about(
    items: Sequence[Item], target: Target, hierarchy: Hierarchy, find: Find, declared: set[str]
) -> dict[str, float]:
    """How much of each fact that mentions what the target seeks is about it, by its clearest phrasing."""
    scores: dict[str, float] = {}
    if not target.sought:
        return scores
    for item in items:
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
    """The side and why. `sought` are facts to forget by what they are about alone."""
    if outcome in ("undecided", "mentions_target", "borderline"):
        return NEITHER, outcome
    if item.fact_id in sought:
        return FORGET, "about"
    if outcome == "filled":
        why = "guessed_label"
    elif not target.labels:
        why = "not_about"
    else:
        why = "no_label" if item.subject is None else "given_label"
    return (FORGET if item.fact_id in forget else RETAIN), why


def fill_subjects(
    items: Sequence[Item],
    target: Target,
    hierarchy: Hierarchy,
    mentions: Mentions,
    labels: LabelsConfig,
    settled: Collection[str] = (),
) -> tuple[list[Item], list[Doubt]]:
    """Give unlabelled items the subject (and topic) that their concepts point to, where confident enough.

    Without confidence an item is left out: kept as something to retain it might protect what is to be forgotten. So is
    one that would be kept and mentions a target concept, with ``labels.fill=false`` too. Facts in `settled` need no
    label; with a target that goes by concepts alone no item does.
    """
    unlabelled = [item for item in items if item.subject is None and item.fact_id not in settled]
    if not target.labels or not unlabelled:
        return list(items), []
    # By fact: all that its phrasings mention, and one label for all of them.
    by_fact: dict[str, dict[str, None]] = defaultdict(dict)
    for item in unlabelled:
        by_fact[item.fact_id].update(dict.fromkeys(mentions(item)))
    guesses = dict.fromkeys(by_fact, Guess(None, 0.0))
    if labels.fill:
        recovery = _recovery(items, target, hierarchy, mentions)
        guesses = dict(zip(by_fact, recovery.guess([list(concepts) for concepts in by_fact.values()]), strict=True))
    found, doubts = [], []
    for item in items:
        if item.subject is not None or item.fact_id not in guesses:
            found.append(item)
            continue
        guess = guesses[item.fact_id]
        subject, _, topic = (guess.label or "").partition("/")
        outcome = _outcome(guess, not target.forget.isdisjoint(by_fact[item.fact_id]), target, labels)
        if outcome == "filled":
            found.append(replace(item, subject=subject, topic=topic or None))
        if outcome == "unlabelled":
            found.append(item)
        else:
            doubts.append(Doubt(item.id, None, guess.label, guess.confidence, outcome))
    return found, doubts


def _outcome(guess: Guess, mentions_target: bool, target: Target, labels: LabelsConfig) -> str:
    """What becomes of an item without a label."""
    if not labels.fill:
        return "mentions_target" if mentions_target else "unlabelled"
    if guess.label is None or guess.confidence < labels.threshold:
        return "undecided"
    # A guess that it is something else is too little to keep what speaks of the target.
    return "mentions_target" if mentions_target and guess.label not in target.labels else "filled"


def _recovery(items: Sequence[Item], target: Target, hierarchy: Hierarchy, mentions: Mentions) -> Recovery:
    """Learned from the labelled items."""
    topics = {label for label in target.labels if "/" in label}
    labelled = [item for item in items if item.subject is not None]
    given = [label_of(item, topics) or "" for item in labelled]
    known = {*given, *target.labels, *(label for c in hierarchy.concepts.values() for label in c.subjects)}
    return Recovery(hierarchy, [mentions(item) for item in labelled], given, _askable(known, topics))


def _askable(labels: set[str], topics: set[str]) -> set[str]:
    """Labels as `label_of` writes them: topics that the target does not ask for count as their subject."""
    return {label if label in topics else label.partition("/")[0] for label in labels}
