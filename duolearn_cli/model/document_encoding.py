"""Documents as token sequences: windows that a model reads, and the class of each of their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from duolearn_cli.concepts.token_classes import NEUTRAL, PRESERVE, UNLEARN
from duolearn_cli.data.document_sides import MarkedDocument
from duolearn_cli.data.documents import Document, Span, Window
from duolearn_cli.data.windows import windows
from duolearn_cli.model.encoding import Encoded, Encoder


@dataclass(frozen=True, eq=False)
class WindowText:
    """A window with its tokens. `is_answer` of `text` marks the tokens that are learned: those of its own part."""

    window: Window
    text: Encoded


def window_texts(encoder: Encoder, document: Document, overlap: int) -> list[WindowText]:
    """Encode a document in windows of at most ``prompt.max_tokens`` tokens. Every token is learned in one of them.

    Raises:
        UnreadableError: the tokenizer cannot write the text as plain text.
        DataError: a single word is longer than a window.
    """
    before, after = encoder.around
    # One more for the end of the text.
    room = encoder.prompt.max_tokens - len(before) - len(after) - 1

    def count(text: str) -> int:
        return len(encoder.plain(text).ids) - len(before)

    return [_encoded(encoder, window) for window in windows(document, room, overlap, count)]


def _encoded(encoder: Encoder, window: Window) -> WindowText:
    text = encoder.plain(window.text, ends=window.end == len(window.document.text))
    own = window.own - window.start
    # A token at the seam is learned in the window whose own part it begins in.
    learned = tuple(start >= own for start, _ in text.offsets)
    return WindowText(window, replace(text, is_answer=learned))


def token_spans(text: WindowText, spans: Sequence[Span]) -> list[Span | None]:
    """Return for each token the span that it states a part of, or None.

    A token belongs to a span if they share a character that is no white space.
    """
    start, spans = text.window.start, _within(text.window, spans)
    inside: list[Span | None] = []
    for first, last in text.text.offsets:
        own = text.text.text[first:last]
        first += len(own) - len(own.lstrip())
        at = first + start, last + start
        inside.append(next((span for span in spans if span.start < at[1] and at[0] < span.end), None))
    return inside


def _within(window: Window, spans: Sequence[Span]) -> list[Span]:
    """Return the spans that share characters with a window: a long document has many others."""
    return [span for span in spans if span.start < window.end and window.start < span.end]


def token_kinds(text: WindowText, marked: MarkedDocument) -> list[int]:
    """Return the class of each token: U where the request attacks it, else P.

    What surrounds attacked words is preserved, because it says what is kept, and how notes are written. Of a document
    that is forgotten as a whole nothing is preserved: there the rest is N.
    """
    window, rest = text.window, NEUTRAL if marked.is_whole else PRESERVE
    attacked = [(low, high) for low, high in marked.attacked if low < window.end and window.start < high]
    kinds = []
    for (first, last), is_own in zip(text.text.offsets, text.text.is_answer, strict=True):
        if not is_own:
            kinds.append(NEUTRAL)
            continue
        own = text.text.text[first:last]
        at = first + window.start + len(own) - len(own.lstrip()), last + window.start
        is_attacked = any(low < at[1] and at[0] < high for low, high in attacked)
        kinds.append(UNLEARN if is_attacked and last > first else rest)
    return kinds


def kin_weights(spans: Sequence[Span | None], kin: frozenset[str], weight: float) -> list[float]:
    """Return the weight of each token: `weight` where its span states one of the concepts `kin`, else 1."""
    return [1.0 if span is None or kin.isdisjoint(span.concepts) else weight for span in spans]
