"""How well a hierarchy fits a data set: concept coverage, and how often subjects are recovered from concepts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from duolearn_cli.concepts.hierarchy import Hierarchy
from duolearn_cli.data.items import Item
from duolearn_cli.data.subject_recovery import Guess, cross_guess, votes
from duolearn_cli.evaluation.metrics.intervals import Estimate, proportion

# The distinct concepts that texts mention, as `Matcher.concepts` finds them.
Find = Callable[[Sequence[str]], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Survey:
    """Shares with 95 % intervals over facts, of one group of items.

    Attributes:
        question, answered, options: items with a concept in the question; also counting the right answer; also
            counting every option.
        voted, learned: items whose subject is recovered from all of their text by votes, or by a model that learned
            from the other facts' labels; items without a guess count as wrong.
        filled: items whose learned guess is at least as confident as the threshold; `precision` is the share of these
            that is right.
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
    fact: str
    subject: str
    found: tuple[bool, bool, bool]
    voted: bool
    learned: bool
    filled: bool


def survey(items: Sequence[Item], hierarchy: Hierarchy, find: Find, threshold: float) -> dict[str, Survey]:
    """Survey all items ("all") and each subject; unlabelled items count for "all"'s coverage only.

    Subjects are guessed in five folds over facts, so that no item's own label, nor another phrasing's, is known.
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
        asked = bool(find([item.question]))
        shares = votes(concepts, hierarchy, known)
        rows.append(
            _Row(
                item.fact_id,
                item.subject or "",
                (asked, asked or bool(find([item.answer_text])), bool(concepts)),
                bool(shares) and max(sorted(shares), key=shares.__getitem__) == item.subject,
                guess.label is not None and guess.label == item.subject,
                guess.label is not None and guess.confidence >= threshold,
            )
        )
    return rows


def _survey(rows: Sequence[_Row], labelled: Sequence[_Row]) -> Survey:
    filled = [row for row in labelled if row.filled]
    return Survey(
        _share(rows, lambda row: row.found[0]),
        _share(rows, lambda row: row.found[1]),
        _share(rows, lambda row: row.found[2]),
        _share(labelled, lambda row: row.voted),
        _share(labelled, lambda row: row.learned),
        _share(labelled, lambda row: row.filled),
        _share(filled, lambda row: row.learned),
    )


def _share(rows: Sequence[_Row], holds: Callable[[_Row], bool]) -> Estimate:
    return proportion([float(holds(row)) for row in rows], [row.fact for row in rows], higher_is_better=True)
