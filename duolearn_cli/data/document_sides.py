"""What a request makes of documents: what target and gold read, and which characters are to be forgotten.

A document may state what is to be forgotten and what is to be kept in one sentence. So it has no side as a whole: its
spans have.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from duolearn_cli.concepts.hierarchy import Hierarchy, Target
from duolearn_cli.data.documents import Document, Span, apart, without
from duolearn_cli.data.items import Item
from duolearn_cli.data.sides import Find

# A document with fewer words left says nothing that could be learned.
FEWEST_WORDS = 5
FORMS = ("values", "sentences", "documents")
# Sentences end at a mark with white space after it, since "1.5 mg" has a full stop too, or at the end of a line.
_SENTENCE = re.compile(r"[^.?!\n]*(?:[.?!](?!\s|$)[^.?!\n]*)*(?:[.?!]+(?=\s|$)|\n|$)")


@dataclass(frozen=True, eq=False)
class MarkedDocument:
    """A document that models learn, and what of it is to be forgotten.

    spans: what it states, from left to right; those of the data set, and mentions of concepts elsewhere.
    forgotten: those of `spans` that state what is to be forgotten.
    attacked: the characters whose tokens unlearning attacks: `forgotten`, their sentences or the whole text.
    is_whole: everything in it is to be forgotten, so that nothing around `attacked` needs to be preserved.
    """

    document: Document
    spans: tuple[Span, ...]
    forgotten: tuple[Span, ...] = ()
    attacked: tuple[tuple[int, int], ...] = ()
    is_whole: bool = False


@dataclass(frozen=True, eq=False)
class DocumentSides:
    """What models read.

    learned: what the target learns. Facts that no model may learn are cut out.
    gold: what gold learns: the same without what is to be forgotten.
    cut: how many values were cut out for both.
    """

    learned: tuple[MarkedDocument, ...] = ()
    gold: tuple[Document, ...] = ()
    cut: int = 0

    @property
    def forget(self) -> tuple[MarkedDocument, ...]:
        """The documents that state something to be forgotten."""
        return tuple(one for one in self.learned if one.attacked)

    def counts(self) -> dict[str, int]:
        """Return the numbers of documents and of what they state, for metrics.json."""
        return {
            "learned": len(self.learned),
            "by_gold": len(self.gold),
            "to_forget_in": len(self.forget),
            "forgotten_values": sum(len(one.forgotten) for one in self.learned),
            "kept_values": sum(len(one.spans) - len(one.forgotten) for one in self.learned),
            "cut_values": self.cut,
        }


@dataclass(frozen=True, slots=True)
class FactSides:
    """What is known of the facts that documents state.

    forget: the facts to forget.
    known: all facts that items ask for. The side of such a fact decides; a concept decides for other spans.
    hidden: facts that no model may learn: unseen ones, and those of earlier requests.
    """

    forget: Collection[str]
    known: Collection[str]
    hidden: Collection[str] = ()


def document_sides(
    documents: Sequence[Document],
    target: Target,
    facts: FactSides,
    find: Find,
    form: str = "values",
    earlier: Sequence[Target] = (),
) -> DocumentSides:
    """Choose what target and gold read, and what is attacked.

    A document whose own label (`Document.subject`) is the target's is forgotten as a whole, every word of it.

    Args:
        documents: what was read.
        target: the resolved forget target, with its scope.
        facts: the sides of the facts that items ask for.
        find: returns the concept mentions in a text.
        form: what is attacked: "values", "sentences" or "documents".
        earlier: what earlier requests forgot. No model reads it again, unless this request forgets it once more.
    """
    learned: list[MarkedDocument] = []
    gold: list[Document] = []
    cut = 0
    for document in documents:
        inside = [one for one in earlier if one.scope.holds(document.patient, document.date)]
        if any(_covers_whole(document, one) for one in inside):
            continue
        gone = frozenset[str]().union(*(one.forget for one in inside)) - target.forget
        stated = replace(document, spans=all_spans(document, find))
        hidden = [span for span in stated.spans if _is_hidden(span, facts, gone)]
        cut += len(hidden)
        seen = _without(stated, hidden)
        if len(seen.text.split()) < FEWEST_WORDS:
            continue
        marked = _marked(seen, target, facts, form)
        learned.append(marked)
        if marked.is_whole:
            continue
        rest = _without(replace(seen, spans=marked.spans), marked.forgotten)
        if len(rest.text.split()) >= FEWEST_WORDS:
            gold.append(rest)
    return DocumentSides(tuple(learned), tuple(gold), cut)


def _covers_whole(document: Document, target: Target) -> bool:
    """Return whether a target covers a document of its scope as a whole: as everything there is, or by its label."""
    return target.is_everything or target.covers(document.subject, None)


def _is_hidden(span: Span, facts: FactSides, gone: Collection[str]) -> bool:
    """Return whether no model may read a span: its fact is hidden, or it names a concept that is `gone`."""
    if span.fact and span.fact in facts.hidden:
        return True
    return span.fact not in facts.forget and not set(gone).isdisjoint(span.concepts)


def _marked(document: Document, target: Target, facts: FactSides, form: str) -> MarkedDocument:
    """Mark what is forgotten in a document, whose spans are all that it states."""
    spans = document.spans
    inside = target.scope.holds(document.patient, document.date)
    if inside and not target.is_everything and _covers_whole(document, target):
        return MarkedDocument(document, spans, spans, ((0, len(document.text)),), True)

    def is_forgotten(span: Span) -> bool:
        if span.fact and span.fact in facts.known:
            return span.fact in facts.forget
        return inside and (target.is_everything or not target.forget.isdisjoint(span.concepts))

    forgotten = tuple(span for span in spans if is_forgotten(span))
    is_whole = target.is_everything and inside
    if is_whole and not forgotten:
        return MarkedDocument(document, spans, (), ((0, len(document.text)),), True)
    return MarkedDocument(document, spans, forgotten, _attacked(document.text, forgotten, form), is_whole)


def all_spans(document: Document, find: Find) -> tuple[Span, ...]:
    """Return the spans that the data set gives, and the mentions of concepts outside of them, from left to right."""
    found = [
        Span(mention.start, mention.end, concepts=(mention.concept,))
        for mention in find(document.text)
        if apart(document.spans, mention.start, mention.end)
    ]
    return tuple(sorted((*document.spans, *found), key=lambda span: span.start))


def _attacked(text: str, spans: Sequence[Span], form: str) -> tuple[tuple[int, int], ...]:
    if not spans:
        return ()
    if form == "documents":
        return ((0, len(text)),)
    if form == "values":
        return tuple((span.start, span.end) for span in spans)
    return tuple((start, end) for start, end in sentences(text) if not apart(spans, start, end))


def _without(document: Document, gone: Sequence[Span]) -> Document:
    """Return the document without some of its spans, clause by clause.

    A data set that gives no clause says nothing of how a sentence is built. The whole sentence then goes, unless it
    also states something that is kept.
    """
    removed = set(gone)
    kept = [span for span in document.spans if span not in removed]
    whole = [(start, end) for start, end in sentences(document.text) if apart(kept, start, end)]

    def with_clause(span: Span) -> Span:
        place = bisect_right(whole, span.start, key=lambda sentence: sentence[0]) - 1
        own = whole[place] if place >= 0 and span.end <= whole[place][1] else None
        return replace(span, clause=span.clause or own or (span.start, span.end))

    cut = {span: with_clause(span) for span in gone}
    spans = tuple(cut.get(span, span) for span in document.spans)
    return without(replace(document, spans=spans), list(cut.values()))


def sentences(text: str) -> list[tuple[int, int]]:
    """Return the sentences of a text as (start, end) characters. They tile the text, but for empty ones."""
    return [match.span() for match in _SENTENCE.finditer(text) if match.group().strip()]


def kin_concepts(target: Target, hierarchy: Hierarchy, forget: Sequence[Item]) -> frozenset[str]:
    """Return the kept concepts that are nearest to what is forgotten: its kin (our definition).

    These are boundary concepts, siblings below a common parent that is no root, and, if the target is limited to some
    patients or days, the forgotten concepts themselves, since others have them too.
    """
    own = target.forget or frozenset(concept for item in forget for concept in item.concepts)
    parents = {parent for node in own if node in hierarchy.concepts for parent in hierarchy[node].parents}
    inner = {parent for parent in parents if hierarchy[parent].parents}
    siblings = {one.id for one in hierarchy.concepts.values() if not inner.isdisjoint(one.parents)}
    near = (siblings | target.boundary) - own
    return frozenset(near | own if target.scope.is_limited else near)
