"""Contexts: an ambiguous term names its concept only in texts that contain certain other words.

In the project's own format a term may end in braces that hold words or phrases, separated by commas.

- ``PPV{predict*,sensitivity}``: one of the words must occur in the same text. ``*`` stands for any ending.
- ``depression{!mandible}``: the word after ``!`` must not occur in the text.
- ``AIDS{=}``: the term counts only in this case, so that "aids" is not a mention.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from duolearn_cli.concepts.folding import fold
from duolearn_cli.concepts.variants import variants

_MARKED = re.compile(r"(?P<term>[^{}]*[^{}\s])\s*\{(?P<marks>[^{}]*)\}")
_CASED, _NOT, _ANY = "=", "!", "*"


@dataclass(frozen=True, slots=True)
class Context:
    """When an ambiguous term names a concept: the text contains one of `words`, if there are any, and none of `unless`.

    With `cased` the term counts only in the case in which the hierarchy writes it.
    """

    words: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    cased: bool = False

    def distance(self, text: str, start: int, end: int) -> int | None:
        """Return the number of characters between ``text[start:end]`` and the nearest of `words`.

        `text` is folded (see folding.py). The result is None if the context does not hold. A word inside the span does
        not count: it is part of the term. A context without words returns the length of the text, so that any sense
        with a word nearby wins over it.
        """
        if self.unless and _pattern(self.unless).search(text):
            return None
        if not self.words:
            return len(text)
        hits = _pattern(self.words).finditer(text)
        gaps = (max(start - hit.end(), hit.start() - end) for hit in hits)
        return min((gap for gap in gaps if gap >= 0), default=None)

    def __str__(self) -> str:
        marks = [*self.words, *(f"{_NOT}{word}" for word in self.unless), *([_CASED] if self.cased else [])]
        return "{" + ",".join(marks) + "}"


@lru_cache(maxsize=4_096)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    """Return one pattern that finds `words` in folded text: whole words, with their variants (see variants.py)."""
    # Sorted, so that the pattern does not depend on the order of a set.
    forms = {re.escape(form) + (r"\w*" if word.endswith(_ANY) else "") for word in words for form in _forms(word)}
    return re.compile(rf"\b(?:{'|'.join(sorted(forms))})\b")


def _forms(word: str) -> set[str]:
    plain = word.removesuffix(_ANY)
    return {form for form in {fold(plain).strip(), *variants(plain)} if form}


def split_context(term: str) -> tuple[str, Context | None]:
    """Return `term` without its context, and the context or None.

    Raises:
        ValueError: the braces are empty, or hold a mark without a word.
    """
    marked = _MARKED.fullmatch(term.strip()) if "{" in term else None
    if marked is None:
        return term, None
    marks = [" ".join(mark.split()) for mark in marked["marks"].split(",")]
    if not all(mark.strip(_NOT + _ANY + " ") for mark in marks):
        raise ValueError(f"{term!r}: the braces need words, such as {{word,stem*,!other}}, or = for the case")
    unless = tuple(mark.removeprefix(_NOT).strip() for mark in marks if mark.startswith(_NOT))
    words = tuple(mark for mark in marks if not mark.startswith(_NOT) and mark != _CASED)
    return marked["term"], Context(words, unless, _CASED in marks)


def unmarked(term: str) -> str:
    """Return `term` with braces at its end changed to parentheses, so that they are not read as a context."""
    return term if _MARKED.fullmatch(term) is None else term.replace("{", "(").replace("}", ")")
