"""Choose which words of a long question to leave out: those in its middle, or at the beginning of a running text."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

Span = tuple[int, int]
# The fewest tokens of a question that must remain.
MIN_QUESTION = 8


def middle(text: str, offsets: Sequence[Span], question: Span, excess: int) -> Span | None:
    """Return the characters of the question to leave out, or None if fewer than `MIN_QUESTION` tokens would remain.

    The two parts that remain are about equally long. Whole words are left out, because two halves of words would join
    into another word.

    Args:
        text: the whole text.
        offsets: the characters ``[start, end)`` of the text's tokens, in order; ``start == end`` for special tokens.
        question: the characters of the question in `text`.
        excess: the number of tokens to leave out, at least.
    """
    inside = _inside(offsets, question)
    remaining = len(inside) - excess
    if remaining < MIN_QUESTION:
        return None
    first = -(-remaining // 2)
    last = len(inside) - remaining // 2
    begins = [_begins_word(text, inside, place) for place in range(len(inside))]
    # The borders move outwards to a word's beginning, but not too far: a question without spaces has only one word.
    start = next((place for place in range(first, first // 2, -1) if begins[place]), first)
    stop = next((place for place in range(last, (last + len(inside)) // 2) if begins[place]), last)
    # Some tokenizers write one character as several tokens; these must not be separated.
    while start > 0 and inside[start][0] < inside[start - 1][1]:
        start -= 1
    return inside[start][0], inside[_whole_characters(inside, stop) - 1][1]


def beginning(text: str, offsets: Sequence[Span], question: Span, excess: int) -> Span | None:
    """Return the characters to leave out at the beginning of a text that the answer continues, or None: see `middle`.

    What is near the answer says most about it. Whole words are left out, unless a word is nearly all that there is.
    """
    inside = _inside(offsets, question)
    if len(inside) - excess < MIN_QUESTION:
        return None
    last = len(inside) - MIN_QUESTION
    stop = next((place for place in range(excess, last + 1) if _begins_word(text, inside, place)), excess)
    return inside[0][0], inside[_whole_characters(inside, stop) - 1][1]


def _inside(offsets: Sequence[Span], question: Span) -> list[Span]:
    return [span for span in offsets if question[0] <= span[0] < span[1] <= question[1]]


def _whole_characters(spans: Sequence[Span], stop: int) -> int:
    """Return `stop`, or the first place behind it that does not separate the tokens of one character."""
    while stop < len(spans) and spans[stop][0] < spans[stop - 1][1]:
        stop += 1
    return stop


def with_ends(questions: Sequence[str], head: str, tail: str) -> Iterator[int]:
    """Yield the positions of sorted `questions` that may have become `head` and `tail` by leaving out the middle."""
    # Questions with the same beginning are neighbours in a sorted list, so the search ends at the first other one.
    for place in range(bisect_left(questions, head), len(questions)):
        question = questions[place]
        if not question.startswith(head):
            return
        if len(question) >= len(head) + len(tail) and question.endswith(tail):
            yield place


def _begins_word(text: str, spans: Sequence[Span], place: int) -> bool:
    start = spans[place][0]
    return text[start].isspace() or start == 0 or text[start - 1].isspace()


def tokens_outside(offsets: Sequence[Span], gap: Span) -> list[int]:
    """Return the positions of the tokens outside of the characters `gap`.

    Some tokenizers leave spaces out of the offsets: the offset of a token for a space is then empty, and lies where the
    next word begins.
    """
    return [i for i, (start, end) in enumerate(offsets) if not (gap[0] <= start < gap[1] and end <= gap[1])]
