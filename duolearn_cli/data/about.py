"""A score for how much an item is about some concepts (our definition). One mention does not make an item about them.

    ask      share of the sought concepts among the mentions in the question's last sentence
    text     share of the sought concepts among the mentions in the whole question
    options  share of the options, including the right one, that mention a sought concept
    about  = 1 - (1 - (ask + text) / 2) (1 - options)          between 0 and 1

A mention weighs as much as its concept's level (1 foundation to 4 focused), because a named disease says more about the
topic of a text than "heart" or "fever" does. Boundary concepts belong to both sides and count for neither. A text
without mentions has share 0, so a question whose last sentence names no concept gets half the score of its history.

An item is about the sought concepts if its score is `forget.about` or more. docs/hierarchy.md measures how often that
is right, and compares other formulas: weighing the right option double was worse (area under the ROC curve 0.77, not
0.79). In a question that asks "all except", the right option is the one that does not belong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

from duolearn_cli.concepts.matcher import Mention
from duolearn_cli.data.items import Item

# White space is required after a full stop, because "1.5 mg" contains a full stop too.
_SENTENCE_END = re.compile(r"(?<=[.?!])\s+")


def about(
    item: Item,
    find: Callable[[str], Sequence[Mention]],
    sought: Collection[str],
    boundary: Collection[str],
    level: Callable[[str], int],
) -> float:
    """Return how much `item` is about the concepts in `sought`, from 0 (it mentions none of them) to 1.

    Args:
        item: the item; its question and options are searched.
        find: returns the mentions in a text.
        sought: ids of concepts; none of them is in `boundary`.
        boundary: ids of concepts that count neither for nor against.
        level: returns the level of a concept, 1 to 4.
    """

    def share(text: str) -> float:
        levels = {True: 0, False: 0}
        for mention in find(text):
            if mention.concept not in boundary:
                levels[mention.concept in sought] += level(mention.concept)
        return levels[True] / (sum(levels.values()) or 1)  # 0 / 1 for a text without mentions

    question = (share(last_sentence(item.question)) + share(item.question)) / 2
    mentioning = sum(any(mention.concept in sought for mention in find(option)) for option in item.options)
    return 1 - (1 - question) * (1 - mentioning / len(item.options))


def last_sentence(text: str) -> str:
    """Return the last sentence of a question. After a patient's history it usually is the actual question."""
    return _SENTENCE_END.split(text.strip())[-1]
