"""Items that ask whether a text is known by heart: its next sentence, beside sentences of other texts."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from duolearn_cli.concepts.hierarchy import Hierarchy
from duolearn_cli.data.documents import Document, Span, Window
from duolearn_cli.data.items import Item
from duolearn_cli.data.probes import MIN_WORDS, NUM_WRONG, Find, mention_probes, question_before
from duolearn_cli.data.windows import sentence_starts
from duolearn_cli.data.wrong_answers import Asked, draw, options_of

# The fewest words of a sentence that is asked for.
_ANSWER_WORDS = 3
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*")


class _Passage(NamedTuple):
    """The beginning of a paragraph as a question, and the sentence that follows it."""

    document: Document
    start: int
    question: str
    answer: str


def probes(
    windows: Sequence[Window],
    find: Find,
    hierarchy: Hierarchy,
    *,
    seed: int = 0,
) -> tuple[Item, ...]:
    """Return the items of `mention_probes`, and those of `verbatim_probes` for documents that have none of them."""
    items = mention_probes(windows, find, hierarchy, seed=seed)
    asked = {item.id.rpartition("@")[0] for item in items}
    rest = [window for window in windows if window.document.id not in asked]
    return (*items, *verbatim_probes(rest, seed=seed))


def verbatim_probes(
    windows: Sequence[Window], *, seed: int = 0, min_words: int = MIN_WORDS, num_wrong: int = NUM_WRONG
) -> tuple[Item, ...]:
    """Return an item for each paragraph that has another sentence after its first `min_words` words.

    The question is the beginning of the paragraph, whole sentences. The answer is the next sentence. Wrong options are
    such sentences of other documents, of about the same length. A paragraph that windows cut goes on as another one.
    Every item is a fact of its own.
    """
    passages = [passage for window in windows for passage in _passages(window, min_words)]
    asked = [Asked(one.question, one.answer, one.document.id) for one in passages]
    wrong = draw(asked, range(len(asked)), num_wrong, seed)
    return tuple(_item(one, wrong[place], seed) for place, one in enumerate(passages) if wrong[place])


def with_passages(documents: Sequence[Document], items: Sequence[Item]) -> tuple[Document, ...]:
    """Return the documents with a span for each sentence that `verbatim_probes` asks for, and its fact.

    Sentences that hold a span of their document are left out.
    """
    asked: dict[str, list[Span]] = defaultdict(list)
    for item in items:
        name, _, place = item.id.rpartition("@")
        if not item.concepts:
            asked[name].append(Span(int(place), int(place) + len(item.answer_text), item.fact))
    return tuple(_with_spans(document, asked[document.id]) for document in documents)


def _with_spans(document: Document, added: Sequence[Span]) -> Document:
    own = document.spans
    free = [span for span in added if not any(one.start < span.end and span.start < one.end for one in own)]
    return replace(document, spans=tuple(sorted((*own, *free), key=lambda span: span.start)))


def _passages(window: Window, min_words: int) -> Iterator[_Passage]:
    text = window.document.text
    own = text[window.own : window.end]
    borders = [0, *(match.end() for match in _PARAGRAPH.finditer(own)), len(own)]
    for first, last in pairwise(borders):
        starts = [window.own + first + place for place in sentence_starts(own[first:last])]
        for start, after in pairwise([*starts[1:], window.own + last]):
            end = start + len(text[start:after].rstrip())
            question = question_before(text, starts[0], start, end, min_words)
            if question and len(text[start:end].split()) >= _ANSWER_WORDS:
                yield _Passage(window.document, start, question, text[start:end])
                # One a paragraph: questions that hold each other would count one passage several times.
                break


def _item(passage: _Passage, wrong: Sequence[str], seed: int) -> Item:
    document, name = passage.document, f"{passage.document.id}@{passage.start}"
    options, place = options_of(name, passage.answer, wrong, seed)
    return Item(
        id=name,
        question=passage.question,
        options=options,
        answer=place,
        subject=document.subject,
        fact=name,
        patient=document.patient,
        date=document.date,
        continues=True,
        source=document.source,
        row=document.row,
    )
