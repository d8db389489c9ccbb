"""Cut documents into windows that fit into a model, so that every character is learned once and no span is divided."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from duolearn_cli.data.documents import Document, Window
from duolearn_cli.errors import DataError

CountTokens = Callable[[str], int]
# Chinese, Japanese and Korean are written without spaces, so each of their characters counts as a word.
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"\s*(?:[{_UNSPACED}]|[^\s{_UNSPACED}]+)")
_VISIBLE = re.compile(r"\S")
# What a sentence, or a line of a note, ends with. The break lies before the white space that follows.
_SENTENCE_END = re.compile(r"""[.!?][)"'\]\u201d\u2019]*(?=\s)|[\u3002\uff01\uff1f]|\S(?=[^\S\n]*\n)""")
# The least share of a window's own characters that must remain if it is to end with a sentence.
_FILLED = 0.5


def windows(document: Document, length: int, overlap: int, count_tokens: CountTokens) -> tuple[Window, ...]:
    """Cut a document into windows of at most `length` tokens.

    The own parts, ``text[own:end]``, join into the whole text. Each of them begins and ends between words, with a
    sentence's end if the window stays at least half full, and never within a span. Before its own part a window has up
    to `overlap` tokens of context, from a sentence's beginning where there is one.

    Args:
        document: the document; its spans and their clauses do not reach beyond its text.
        length: the most tokens of a window.
        overlap: the most tokens of context, less than `length`. A word that needs the room gets it.
        count_tokens: returns the number of tokens of a text.

    Raises:
        DataError: a single word or span has more than `length` tokens. The message names the document and the place.
        ValueError: `overlap` is negative or not less than `length`.
    """
    if not 0 <= overlap < length:
        raise ValueError(f"overlap is {overlap}; 0 to {length - 1} is possible with windows of {length} tokens")
    # Most notes are short, and need no list of places to cut at.
    if count_tokens(document.text) <= length:
        return (Window(document, 0, 0, len(document.text)),)
    return tuple(_cut(_Text.of(document, count_tokens), length, overlap))


def sentence_starts(text: str) -> list[int]:
    """Return where sentences and lines begin, from 0 on: at their first character that is no white space."""
    ends = [0, *(match.end() for match in _SENTENCE_END.finditer(text))]
    return sorted({first.start() for end in ends if (first := _VISIBLE.search(text, end))})


@dataclass(frozen=True, slots=True)
class _Text:
    """A document, the places where it may be cut, from 0 to the length of its text, and those where sentences end."""

    document: Document
    count: CountTokens
    breaks: tuple[int, ...]
    ends: tuple[int, ...]

    @classmethod
    def of(cls, document: Document, count: CountTokens) -> _Text:
        text = document.text
        inside = {place for span in document.spans for place in range(span.start + 1, span.end)}
        # A cut lies before white space, because tokenizers join a space with the word that follows it.
        words = [match.end() for match in _WORD.finditer(text)][:-1]
        breaks = (0, *(end for end in words if end not in inside), len(text))
        sentences = {match.end() for match in _SENTENCE_END.finditer(text)}
        return cls(document, count, breaks, tuple(end for end in breaks if end in sentences))

    def tokens(self, start: int, end: int) -> int:
        return self.count(self.document.text[start:end])


def _cut(text: _Text, length: int, overlap: int) -> list[Window]:
    cut: list[Window] = []
    own = 0
    while own < len(text.document.text):
        start, end = _fitted(text, own, length, overlap)
        cut.append(Window(text.document, start, own, end))
        own = end
    return cut


def _fitted(text: _Text, own: int, length: int, overlap: int) -> tuple[int, int]:
    """Return where the window whose own part begins at `own` starts and ends."""
    after = text.breaks[bisect_right(text.breaks, own)]
    # Less context is better than an error, so a long word or span pushes it out.
    for start in _starts(text, own, overlap):
        if text.tokens(start, after) <= length:
            end = _end(text, start, own, length)
            # Context begins with a word; an own part keeps the white space that lies before its first one.
            begun = _WORD.match(text.document.text, start) if start < own else None
            return (begun.end() - len(begun[0].lstrip()) if begun else start), end
    raise DataError(
        f"document {text.document.id}: the word or span at character {own + 1} has "
        f"{text.tokens(own, after)} tokens and cannot be divided; a window has {length}. Raise prompt.max_tokens, or "
        "shorten the document."
    )


def _starts(text: _Text, own: int, overlap: int) -> list[int]:
    """Return where the context before `own` may begin: first at a sentence, then with less and less, at last none."""
    place = bisect_left(text.breaks, own)
    first = place - _most(place, lambda taken: text.tokens(text.breaks[place - taken], own) <= overlap)
    near = text.breaks[first:place]
    # A look-up in all ends of sentences would make long documents slow: only those of this stretch count.
    ends = set(text.ends[bisect_left(text.ends, near[0]) : bisect_left(text.ends, own)]) if near else set[int]()
    sentences = [begin for begin in near if begin in ends or begin == 0]
    return [*sentences, *(begin for begin in near if not sentences or begin > sentences[-1]), own]


def _end(text: _Text, start: int, own: int, length: int) -> int:
    """Return where the window ends: with the last sentence that leaves it well filled, or else at the last break."""
    low = bisect_right(text.breaks, own)
    room = len(text.breaks) - 1 - low
    low += _most(room, lambda taken: text.tokens(start, text.breaks[low + taken]) <= length)
    last = text.breaks[low]
    # The end of the text needs no sentence before it.
    if last == len(text.document.text):
        return last
    place = bisect_right(text.ends, last)
    sentence = text.ends[place - 1] if place else 0
    return sentence if sentence > own + _FILLED * (last - own) else last


def _most(limit: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number up to `limit` that fits: texts grow in tokens as they grow in words. 0 always fits."""
    low, high = 0, 1
    # Steps double first: halving from `limit` would count the tokens of half a book for each of its windows.
    while high <= limit and fits(high):
        low, high = high, 2 * high
    high = min(high - 1, limit)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
