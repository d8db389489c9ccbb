"""How well a hierarchy fits a data set: concept coverage, and how often concepts recover the subject labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from duolearn_cli.concepts.hierarchy import Hierarchy
from duolearn_cli.data.items import Item
from duolearn_cli.data.subject_recovery import Guess, cross_guess, votes
from duolearn_cli.evaluation.metrics.intervals import Estimate, proportion

# Returns the distinct concepts that texts mention, like `Matcher.concepts`.
Find = Callable[[Sequence[str]], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Survey:
    """Shares of one group of items, with 95 % intervals over facts.

    Attributes:
        question: items with a concept in the question.
        answered: items with a concept in the question or the right answer.
        options: items with a concept in the question or any option.
        voted: items whose subject is recovered by votes of their concepts. An item without a guess counts as wrong.
        learned: items whose subject is recovered by a model that was trained on the labels of other facts.
        filled: items whose learned guess is at least as confident as the threshold.
        precision: the share of these whose guess is right.
    """

    question: Estimate
    answered: Estimate
    options: Estimate
    voted: Estimate
    learned: Estimate
    filled: Estimate
    precision: Estimate


@dataclass(frozen=True, slots=True)
class _Row:
    """One item's part in the shares. `covered` is about question, right answer and options, as in `Survey`."""

    fact: str
    subject: str
    covered: tuple[bool, bool, bool]
    voted: bool
    learned: bool
    filled: bool


def survey(items: Sequence[Item], hierarchy: Hierarchy, find: Find, threshold: float) -> dict[str, Survey]:
    """Survey all items, and those of each subject.

    Subjects are guessed by cross-validation over facts: neither an item's own label nor that of another phrasing is
    known to the guess.

    Args:
        items: the items; unlabelled ones count only for the coverage of all.
        hierarchy: the hierarchy.
        find: finds the concepts that texts mention.
        threshold: the least confidence of a guess that would fill a missing subject.

    Returns:
        The survey of all items under ``all``, then those of the subjects, largest first.
    """
    rows = _rows(items, hierarchy, find, threshold)
    groups: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        groups[row.subject].append(row)
    unlabelled = groups.pop("", [])
    by_subject = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    labelled = [row for _, group in by_subject for row in group]
    return {"all": _survey([*labelled, *unlabelled], labelled)} | {name: _survey(g, g) for name, g in by_subject}


def _rows(items: Sequence[Item], hierarchy: Hierarchy, find: Find, threshold: float) -> list[_Row]:
    mentioned = [find([item.question, *item.options]) for item in items]
    labelled = [i for i, item in enumerate(items) if item.subject is not None]
    subjects = [items[i].subject or "" for i in labelled]
    known = set(subjects)
    guesses: list[Guess] = [Guess(None, 0.0)] * len(items)
    facts = [items[i].fact_id for i in labelled]
    if labelled:
        crossed = cross_guess(hierarchy, [mentioned[i] for i in labelled], subjects, facts, known)
        for i, guess in zip(labelled, crossed, strict=True):
            guesses[i] = guess
    rows = []
    for item, concepts, guess in zip(items, mentioned, guesses, strict=True):
        in_question = bool(find([item.question]))
        shares = votes(concepts, hierarchy, known)
        rows.append(
            _Row(
                item.fact_id,
                item.subject or "",
                (in_question, in_question or bool(find([item.answer_text])), bool(concepts)),
                # Sorted, so that a tie does not depend on the order of the votes.
                bool(shares) and max(sorted(shares), key=shares.__getitem__) == item.subject,
                guess.label is not None and guess.label == item.subject,
                guess.label is not None and guess.confidence >= threshold,
            )
        )
    return rows


def _survey(rows: Sequence[_Row], labelled: Sequence[_Row]) -> Survey:
    filled = [row for row in labelled if row.filled]
    return Survey(
        _share(rows, lambda row: row.covered[0]),
        _share(rows, lambda row: row.covered[1]),
        _share(rows, lambda row: row.covered[2]),
        _share(labelled, lambda row: row.voted),
        _share(labelled, lambda row: row.learned),
        _share(labelled, lambda row: row.filled),
        _share(filled, lambda row: row.learned),
    )


def _share(rows: Sequence[_Row], holds: Callable[[_Row], bool]) -> Estimate:
    return proportion([float(holds(row)) for row in rows], [row.fact for row in rows], higher_is_better=True)
