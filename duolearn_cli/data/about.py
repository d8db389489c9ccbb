"""What an item is about (our definition): not every item that mentions a concept is about it.

    ask      share of the sought concepts in what the question's last sentence mentions
    text     share of the sought concepts in what the whole question mentions
    options  share of the options, the right one among them, that mention a sought concept
    about  = 1 - (1 - (ask + text) / 2) (1 - options)          between 0 and 1

A mention counts as much as its concept's level (1 foundation to 4 focused): a named disease says more on what a text is
about than "heart" or "fever". Boundary concepts belong to both sides and count for neither. What mentions nothing has
share 0: a question whose last sentence names no concept is half as much about those in its history.

An item is about the sought concepts from `forget.about` on; docs/hierarchy.md says how often that is right. The right
option counts like any other: in "all except" it is the one that does not belong, and weighing it more was less right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

from duolearn_cli.concepts.matcher import Mention
from duolearn_cli.data.items import Item

# A full stop without white space after it stands in a number.
_SENTENCE_END = re.compile(r"(?<=[.?!])\s+")


def about(
    item: Item,
    find: Callable[[str], Sequence[Mention]],
    sought: Collection[str],
    boundary: Collection[str],
    level: Callable[[str], int],
) -> float:
    """How much of `item` is about the concepts in `sought`, from 0 (it mentions none) to 1.

    Args:
        find: the mentions in a text.
        sought: concepts; none of them is in `boundary`.
        boundary: concepts that count neither for nor against.
        level: the level of a concept, 1 to 4.
    """

    def share(text: str) -> float:
        levels = {True: 0, False: 0}
        for mention in find(text):
            if mention.concept not in boundary:
                levels[mention.concept in sought] += level(mention.concept)
        return levels[True] / (sum(levels.values()) or 1)

    question = (share(last_sentence(item.question)) + share(item.question)) / 2
    mentioning = sum(any(mention.concept in sought for mention in find(option)) for option in item.options)
    return 1 - (1 - question) * (1 - mentioning / len(item.options))


def last_sentence(text: str) -> str:
    """The last sentence of a question: in most that tell a history first, it is what is asked."""
    return _SENTENCE_END.split(text.strip())[-1]
