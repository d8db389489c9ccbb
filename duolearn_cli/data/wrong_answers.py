"""Wrong answers for questions that come without any: right answers of other questions, of about the same length."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from duolearn_cli.data.cleaning import fold

T = TypeVar("T")
# Candidates for each wrong answer that is drawn. More would be less alike in length, fewer would repeat.
_POOL = 8


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and its right answer, both as clean text, and the fact that it asks for."""

    question: str
    answer: str
    fact: str


def draw(asked: Sequence[Asked], wanted: Sequence[int], count: int, seed: int) -> dict[int, tuple[str, ...]]:
    """Return `count` wrong answers for each position in `wanted`, or as many as there are.

    Candidates are the right answers of the rows nearest in their number of words, other than those of the same fact
    or question and the answer itself. A hash of seed, question and candidate draws among them, so that a row keeps
    its wrong answers when other rows change little.
    """
    # One place for each answer: "Yes." may be right a thousand times.
    first: dict[str, int] = {}
    for place, row in enumerate(asked):
        first.setdefault(fold(row.answer), place)
    ordered = sorted((len(text.split()), text, place) for text, place in first.items())
    return {place: _drawn(asked, place, ordered, count, seed) for place in wanted}


def _drawn(
    asked: Sequence[Asked], place: int, ordered: Sequence[tuple[int, str, int]], count: int, seed: int
) -> tuple[str, ...]:
    own = asked[place]
    question, answer = fold(own.question), fold(own.answer)
    length, pool = len(answer.split()), list[int]()
    low = bisect_left(ordered, (length,))
    high = low
    while len(pool) < count * _POOL and (low > 0 or high < len(ordered)):
        # The nearer of the next shorter and the next longer answer.
        takes_low = high == len(ordered) or (low > 0 and length - ordered[low - 1][0] <= ordered[high][0] - length)
        low, high = (low - 1, high) if takes_low else (low, high + 1)
        _, text, other = ordered[low if takes_low else high - 1]
        if text != answer and asked[other].fact != own.fact and fold(asked[other].question) != question:
            pool.append(other)
    # By content and not by place: rows that are added elsewhere in the file change few draws.
    pool.sort(key=lambda other: rank(seed, question, fold(asked[other].answer)))
    return tuple(asked[other].answer for other in pool[:count])


def rank(*parts: object) -> bytes:
    """Return a hash of the parts: what is sorted by it is drawn at random, the same way each time."""
    return hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()


def options_of(name: str, answer: T, wrong: Sequence[T], seed: int) -> tuple[tuple[T, ...], int]:
    """Return the options of the item `name`, and the place of the right one: a hash, so that it says nothing."""
    place = int.from_bytes(rank(seed, name)) % (len(wrong) + 1)
    return (*wrong[:place], answer, *wrong[place:]), place
