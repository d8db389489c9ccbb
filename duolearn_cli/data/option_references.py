"""Recognise options that refer to other options: "none of the above", "both A and B"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import Enum

from duolearn_cli.data.items import LETTERS, Item, Rejected

REASON = "needs_other_options"
# The patterns are parts of one grammar; each exception stands beside the phrase that it was found for.
_SET = r"(?:all|none|any|both|neither|either)"
_AMOUNT = r"(?:all|none|any|both|neither|either|some|one|two|three|more than one)"
_NAMES = r"(?:options?|choices?|statements?|answers?)"
# What may follow "above": "all above", "both above are true"; not "both above and below", "all above the knee".
_END = r"(?=\s*(?:$|[.,;:()]|(?:are|is|may|can|except|but|mentioned|given|listed)\b))"
# "above" and "those" as references; not "the above-knee stump", "those with fever".
_ABOVE = r"above(?:[- ]?(?:mentioned|named|said))?(?![-\w])(?!\s+(?:and|or|nor)\s+below\b)"
_THOSE = (
    r"those(?!\s+(?:who|whom|whose|which|that|with|without|in|on|at|of|from|under|over|above|below|between|aged|"
    r"exposed|having|affected|infected|treated|taking|born|living|requiring|undergoing)\b)"
)
# "None of the above", "can be any of the above", "all of these", "two of the other options".
_OTHERS = re.compile(
    rf"^{_AMOUNT}(?:\s+of)?(?:\s+the)?\s+(?:these|them|{_THOSE})\b"
    rf"|^{_AMOUNT}\s+(?:of\s+(?:the\s+)?|the\s+)following\b|^{_SET}\s+following{_END}"
    rf"|\b{_AMOUNT}(?:\s+of)?(?:\s+the)?(?:\s+other)?\s+(?:options|choices|answers)\b"
    rf"|\b{_AMOUNT}\s+(?:of\s+(?:the\s+)?|the\s+)(?:other\s+)?{_ABOVE}|\b{_SET}\s+above{_END}"
    rf"|\b{_AMOUNT}\s+(?:of\s+)?(?:the\s+)?(?:{_NAMES}\s+)?(?:mentioned|given|listed)\s+above\b"
    rf"|\b{_AMOUNT}\s+(?:of\s+)?(?:the\s+)?{_NAMES}\s+above\b",
    re.IGNORECASE,
)
# Options of such words alone: "None", "both", "all are true".
_ALONE = re.compile(
    r"(?:all|none|any|both|neither|either)(?:\s+(?:of|are|is|true|false|correct|incorrect|right|wrong|possible))*",
    re.IGNORECASE,
)
# Options that only consist of these words, of signs, and of letters or numbers: "both A and B", "1, 2 and 3 are true".
_WORDS = (
    r"both|only|options?|choices?|statements?|answers?|are|is|and|or|but|not|nor|neither|either|all|except|of|true|"
    r"false|correct|incorrect|right|wrong|the"
)
_SIGNS = r"[&,+/;.()\s-]+"
_LETTERED = re.compile(rf"(?:(?:{_WORDS}|[A-E])\b|{_SIGNS})+", re.IGNORECASE)
_NUMBERED = re.compile(rf"(?:(?:{_WORDS}|[1-5]|i{{1,3}}|iv|v)\b|{_SIGNS})+", re.IGNORECASE)
# A word that makes single letters or numbers refer to options, and a word or sign that joins letters.
_NAMING = re.compile(
    r"\b(?:both|only|options?|choices?|statements?|answers?|true|false|correct|incorrect)\b", re.IGNORECASE
)
_JOINED = re.compile(r"[&,+/]|\b(?:and|or|nor)\b", re.IGNORECASE)
_LIST_MARK = re.compile(r"(?<![A-Za-z0-9])([A-Ea-e]|[1-5]|I{1,3}|IV|V|i{1,3}|iv|v)\s?[.):\]-]")
# The question asks for a number, so "Only 2" is a quantity.
_COUNTED = re.compile(r"\bhow (?:many|much|often|long)\b|\bnumber of\b", re.IGNORECASE)
_NUMBERS = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5}


class Reference(Enum):
    """What an option refers to: nothing, the other options as a set, or options by letter or number."""

    NONE = 0
    OTHERS = 1
    LETTERS = 2


def reference(option: str, question: str = "") -> Reference:
    """Return what `option` refers to, seen alone; `references` also considers the item's other options.

    Letters and numbers that mark a list in the question refer to that list, not to options.
    """
    text = option.strip().rstrip(".").strip()
    if _ALONE.fullmatch(text) or _OTHERS.search(text):
        return Reference.OTHERS
    for pattern, names in ((_LETTERED, _letters), (_NUMBERED, _numbers)):
        if names is _numbers and _COUNTED.search(question):
            continue
        if pattern.fullmatch(text) and (named := names(text)):
            # Without a word such as "both" or "only", letters need a joining word or sign between them ("A b" has
            # none), and numbers are quantities ("2, 3").
            are_joined = len(named) > 1 and pattern is _LETTERED and bool(_JOINED.search(text))
            if (are_joined or _NAMING.search(text)) and not named <= _listed(question):
                return Reference.LETTERS
    return Reference.NONE


def _letters(text: str) -> set[int]:
    """Return the single letters in `text` as positions from 1. A lone "a" is an article."""
    letters = re.findall(r"\b[A-E]\b", text, re.IGNORECASE)
    return set() if letters == ["a"] else {LETTERS.index(letter.upper()) + 1 for letter in letters}


def _numbers(text: str) -> set[int]:
    numbers = re.findall(r"\b(?:[1-5]|i{1,3}|iv|v)\b", text.lower())
    return {_NUMBERS.get(number) or int(number) for number in numbers}


def _listed(question: str) -> set[int]:
    """Return the positions that a list in the question marks: a) ... b) ..., 1. ... 2. ..., i) ... ii) ..."""
    marks = [mark.lower() for mark in _LIST_MARK.findall(question)]
    return {_NUMBERS.get(m) or (int(m) if m.isdigit() else LETTERS.index(m.upper()) + 1) for m in marks}


def references(item: Item) -> list[Reference]:
    """Return what each option of `item` refers to.

    If all options name letters or numbers, none refers to options: "A and D" and "B and C" are then vitamins, or
    statements in the question.
    """
    kinds = [reference(option, item.question) for option in item.options]
    return [Reference.NONE] * len(kinds) if set(kinds) == {Reference.LETTERS} else kinds


def needs_options(item: Item) -> bool:
    """Return whether an option of `item` has no meaning without the others, which a cloze prompt does not show."""
    return any(kind is not Reference.NONE for kind in references(item))


def needs_letters(item: Item) -> bool:
    """Return whether an option refers to others by letter or number, so that its meaning changes with the letters."""
    return Reference.LETTERS in references(item)


def if_alone(item: Item) -> Sequence[Item]:
    """Return the item in a tuple if it can be asked without showing its options, else an empty tuple."""
    return () if needs_options(item) else (item,)


def if_renamed(item: Item) -> Sequence[Item]:
    """Return the item in a tuple if its options may get other letters, else an empty tuple."""
    return () if needs_letters(item) else (item,)


def movable(item: Item) -> list[int] | None:
    """Return the positions whose options may be shuffled, or None if another order would change the question.

    Options that refer to the others keep their positions. These must be the last ones, so that "above" still means all
    other options.
    """
    kinds = references(item)
    if Reference.LETTERS in kinds:
        return None
    free = [place for place, kind in enumerate(kinds) if kind is Reference.NONE]
    if free != list(range(len(free))) or item.answer not in free or len(free) < 2:
        return None
    return free


def without_needing(items: Iterable[Item]) -> tuple[list[Item], list[Rejected]]:
    """Return the items that can be asked without showing their options, and the others as rejected rows."""
    usable: list[Item] = []
    rejected: list[Rejected] = []
    for item in items:
        pairs = zip(item.options, references(item), strict=True)
        referring = next((option for option, kind in pairs if kind is not Reference.NONE), None)
        if referring is None:
            usable.append(item)
            continue
        detail = f"option {referring!r} refers to other options, which a cloze prompt does not show"
        rejected.append(Rejected(item.source, item.row, item.id, REASON, detail))
    return usable, rejected
