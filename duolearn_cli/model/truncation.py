"""Which words of a long question are left out: those in its middle."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

Span = tuple[int, int]
# A question of which fewer tokens are left says nothing.
MIN_QUESTION = 8


def middle(text: str, offsets: Sequence[Span], question: Span, excess: int) -> Span | None:
    """The characters of the question to leave out, so that at least `excess` tokens go; None: too little is left.

    Whole words go where the question has words: joined halves of two words would be a third one. Both halves that
    stay are about equally long.

    Args:
        offsets: characters ``[start, end)`` of the text's tokens, in order; empty for special tokens.
        question: characters of the question in `text`.
    """
    inside = [span for span in offsets if question[0] <= span[0] < span[1] <= question[1]]
    kept = len(inside) - excess
    if kept < MIN_QUESTION:
        return None
    first = -(-kept // 2)
    last = len(inside) - kept // 2
    begins = [_begins_word(text, inside, place) for place in range(len(inside))]
    # Not too far: a question without spaces has one word.
    start = next((place for place in range(first, first // 2, -1) if begins[place]), first)
    stop = next((place for place in range(last, (last + len(inside)) // 2) if begins[place]), last)
    # Some tokenizers write one character in several tokens.
    while start > 0 and inside[start][0] < inside[start - 1][1]:
        start -= 1
    while stop < len(inside) and inside[stop][0] < inside[stop - 1][1]:
        stop += 1
    return inside[start][0], inside[stop - 1][1]


def with_ends(questions: Sequence[str], head: str, tail: str) -> Iterator[int]:
    """Places of those sorted `questions` of which `head` and `tail` may be what a cut has left."""
    for place in range(bisect_left(questions, head), len(questions)):
        question = questions[place]
        if not question.startswith(head):
            return
        if len(question) >= len(head) + len(tail) and question.endswith(tail):
            yield place


def _begins_word(text: str, spans: Sequence[Span], place: int) -> bool:
    start = spans[place][0]
    return text[start].isspace() or start == 0 or text[start - 1].isspace()


def left(offsets: Sequence[Span], gap: Span) -> list[int]:
    """The tokens outside of the characters `gap`, by their place.

    Where offsets leave spaces out, that of a space is empty and stands where the next word begins.
    """
    return [i for i, (start, end) in enumerate(offsets) if not (gap[0] <= start < gap[1] and end <= gap[1])]
