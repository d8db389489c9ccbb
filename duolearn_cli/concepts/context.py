"""Contexts: an ambiguous term names its concept only in texts that hold a word which tells.

In the project's own format a term may end in ``{...}``: ``PPV{predict*,sensitivity}``. Words or phrases stand between
the braces, separated by commas. One of them must occur in the same text; ``*`` stands for any ending. None of those
after ``!`` may occur: ``depression{!mandible}``. ``=`` asks for the term as it is written here: ``AIDS{=}`` is not
"aids".
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
    """One of `words` must occur, if there are any, and none of `unless`; `cased`: the term's case counts."""

    words: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    cased: bool = False

    def distance(self, text: str, start: int, end: int) -> int | None:
        """Return how many characters lie between ``text[start:end]`` and the nearest of the words, or None.

        `text` is folded. A context without words is as far away as can be, the length of the text. None says that the
        context does not hold. A word inside the span itself tells nothing.
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
    """One pattern for `words` as whole words in folded text, in their plurals and in both spellings."""
    forms = {re.escape(form) + (r"\w*" if word.endswith(_ANY) else "") for word in words for form in _forms(word)}
    return re.compile(rf"\b(?:{'|'.join(sorted(forms))})\b")


def _forms(word: str) -> set[str]:
    plain = word.removesuffix(_ANY)
    return {form for form in {fold(plain).strip(), *variants(plain)} if form}


def split_context(term: str) -> tuple[str, Context | None]:
    """Return `term` without its context, and the context, if it has one.

    Raises:
        ValueError: the braces hold nothing, or a mark without a word.
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
    """`term` so that it is not read as one with a context: braces at its end become parentheses."""
    return term if _MARKED.fullmatch(term) is None else term.replace("{", "(").replace("}", ")")
