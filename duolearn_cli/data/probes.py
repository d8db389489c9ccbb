"""Items made from documents that come without any: the words that continue a text, beside words from other texts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from duolearn_cli.concepts.hierarchy import Hierarchy
from duolearn_cli.concepts.matcher import Mention
from duolearn_cli.data.cleaning import fold
from duolearn_cli.data.continuation import seam
from duolearn_cli.data.documents import Document, Span, Window, apart
from duolearn_cli.data.items import Item
from duolearn_cli.data.windows import sentence_starts
from duolearn_cli.data.wrong_answers import options_of, rank

Find = Callable[[str], Sequence[Mention]]
# The fewest words of a question, and the most wrong options.
MIN_WORDS, NUM_WRONG = 8, 5


@dataclass(frozen=True, slots=True)
class _Value:
    """Words of a document that state something: their place, their concepts and the fact. The first concept decides."""

    document: Document
    start: int
    end: int
    concepts: tuple[str, ...]
    fact: str

    @property
    def text(self) -> str:
        return self.document.text[self.start : self.end]

    @property
    def concept(self) -> str | None:
        return self.concepts[0] if self.concepts else None

    @property
    def owner(self) -> str:
        return owner(self.document)


# Also where a request for a patient looks, so that both speak of the same unit.
def owner(document: Document) -> str:
    """Return whom a document is about: its patient, or itself if it names none."""
    return document.patient or document.id


def mention_probes(
    windows: Sequence[Window],
    find: Find,
    hierarchy: Hierarchy,
    *,
    seed: int = 0,
    min_words: int = MIN_WORDS,
    num_wrong: int = NUM_WRONG,
) -> tuple[Item, ...]:
    """Return an item for each annotated span, and each mention of a concept beside them, that a text can be asked for.

    The question is the text of the window before it, from its first sentence on. The answer is the words as they are
    written. It is skipped if fewer than `min_words` words precede it, if these hold the answer already, or if no other
    patient's document has an option. All mentions of a concept about one patient are one fact.

    Wrong options are mentions from documents about others, of concepts with the same parent. If there are none, the
    same level decides. Concepts that documents about the same patient mention are no wrong options, nor are those
    above and below the right one.

    Args:
        windows: the windows of all documents. A mention is asked in the window whose own part holds it.
        find: returns the mentions in a text, from left to right (`Matcher.find`).
        hierarchy: the hierarchy of the concepts.
        seed: draws the wrong options, and the place of the right one.
        min_words: the fewest words of a question.
        num_wrong: the most wrong options of an item.
    """
    documents = {window.document.id: window.document for window in windows}
    values = {name: _values(document, find, hierarchy) for name, document in documents.items()}
    pool = _Pool.of([value for own in values.values() for value in own], hierarchy)
    # A window may begin in the middle of a sentence; a question should not, because no model has read that beginning.
    starts = {name: sentence_starts(document.text) for name, document in documents.items()}
    items: list[Item] = []
    for window in windows:
        name = window.document.id
        begin = next((place for place in starts[name] if place >= window.start), window.end)
        for value in values[name]:
            if window.own <= value.start and value.end <= window.end:
                question = question_before(window.document.text, begin, value.start, value.end, min_words)
                wrong = pool.wrong(value, num_wrong, seed) if question else ()
                items += [_item(value, question or "", wrong, seed)] if wrong else []
    return tuple(items)


def question_before(text: str, begin: int, start: int, end: int, min_words: int) -> str | None:
    """Return the text from `begin` to `start` as a question that ``text[start:end]`` continues, or None.

    None: it has fewer than `min_words` words, it holds the answer, or question and answer do not join into the text.
    """
    before, answer = text[begin:start], text[start:end]
    if len(before.split()) < min_words or f" {_words(answer)} " in f" {_words(before)} ":
        return None
    # The text is asked as it stands. After a hyphen or a quotation mark a space would be added, so these are left out.
    for question in (before.removesuffix(" "), before):
        if question + seam(question) == before:
            return question
    return None


def _words(text: str) -> str:
    """Return a text's words alone, so that "asthma," holds "asthma" and "asthmatic" does not."""
    return " ".join("".join(char if char.isalnum() else " " for char in fold(text)).split())


def with_facts(document: Document, find: Find, hierarchy: Hierarchy) -> Document:
    """Return the document with a span for each mention of a concept, and a fact for each span.

    The facts are those of `mention_probes`, so that a request for a fact reaches every place that states it.
    """
    spans: list[Span] = []
    for span in document.spans:
        named = tuple(concept for concept in span.concepts if concept in hierarchy.concepts)
        text = document.text[span.start : span.end]
        concepts = named or tuple(dict.fromkeys(mention.concept for mention in find(text)))
        fact = span.fact or f"{owner(document)}:{concepts[0] if concepts else fold(text)}"
        spans.append(replace(span, fact=fact, concepts=concepts))
    for mention in find(document.text):
        if apart(document.spans, mention.start, mention.end):
            fact = f"{owner(document)}:{mention.concept}"
            spans.append(Span(mention.start, mention.end, fact, (mention.concept,)))
    return replace(document, spans=tuple(sorted(spans, key=lambda span: span.start)))


def _values(document: Document, find: Find, hierarchy: Hierarchy) -> list[_Value]:
    """Return the annotated spans, and the mentions that overlap none of them."""
    spans = with_facts(document, find, hierarchy).spans
    return [_Value(document, span.start, span.end, span.concepts, span.fact) for span in spans]


@dataclass(frozen=True, slots=True)
class _Pool:
    """The words that may be wrong options: by parent and by level of their concept, None for those without one."""

    hierarchy: Hierarchy
    by_parent: Mapping[str, Mapping[str, _Value]]
    by_level: Mapping[int | None, Mapping[str, _Value]]
    concepts_of: Mapping[str, frozenset[str]]
    texts_of: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, values: Sequence[_Value], hierarchy: Hierarchy) -> _Pool:
        by_parent: dict[str, dict[str, _Value]] = defaultdict(dict)
        by_level: dict[int | None, dict[str, _Value]] = defaultdict(dict)
        concepts: dict[str, set[str]] = defaultdict(set)
        texts: dict[str, set[str]] = defaultdict(set)
        for value in values:
            text = fold(value.text)
            concepts[value.owner].update(value.concepts)
            texts[value.owner].add(text)
            node = hierarchy[value.concept] if value.concept else None
            by_level[node and node.level].setdefault(text, value)
            for parent in node.parents if node else ():
                by_parent[parent].setdefault(text, value)
        frozen = ({name: frozenset(held) for name, held in of.items()} for of in (concepts, texts))
        return cls(hierarchy, by_parent, by_level, *frozen)

    def wrong(self, value: _Value, count: int, seed: int) -> tuple[str, ...]:
        """Return up to `count` wrong options of different concepts, drawn by a hash."""
        node = self.hierarchy[value.concept] if value.concept else None
        kin = {text: one for parent in (node.parents if node else ()) for text, one in self.by_parent[parent].items()}
        barred = self._barred(value)
        # Kin first: an answer among words of another kind would be found by its kind alone.
        fitting = self._fitting(value, kin, barred)
        if not fitting:
            fitting = self._fitting(value, self.by_level[node and node.level], barred)
        drawn: dict[str, str] = {}
        for text in sorted(fitting, key=lambda text: rank(seed, value.document.id, value.start, text)):
            chosen = [fold(one) for one in drawn.values()]
            # One for each concept: two of its names would halve the chance of each.
            # An option that begins like another one could never score below it.
            if not any(_begins(text, other) for other in chosen):
                drawn.setdefault(fitting[text].concept or text, fitting[text].text)
        return tuple(drawn.values())[:count]

    def _barred(self, value: _Value) -> frozenset[str]:
        """Return the concepts that may be right as well."""
        own = [concept for concept in value.concepts if concept in self.hierarchy.concepts]
        near = self.hierarchy.ancestors(own) | self.hierarchy.descendants(own)
        return near | self.concepts_of[value.owner]

    def _fitting(self, value: _Value, options: Mapping[str, _Value], barred: frozenset[str]) -> dict[str, _Value]:
        own, said = fold(value.text), self.texts_of[value.owner]
        return {
            text: one
            for text, one in options.items()
            if text not in said and not _begins(text, own) and barred.isdisjoint(one.concepts)
        }


def _begins(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _item(value: _Value, question: str, wrong: Sequence[str], seed: int) -> Item:
    document, name = value.document, f"{value.document.id}@{value.start}"
    options, place = options_of(name, value.text, wrong, seed)
    return Item(
        id=name,
        question=question,
        options=options,
        answer=place,
        subject=document.subject,
        concepts=value.concepts,
        fact=value.fact,
        patient=document.patient,
        date=document.date,
        continues=True,
        source=document.source,
        row=document.row,
    )
