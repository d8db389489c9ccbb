"""Options that speak of other options: "none of the above", "both A and B"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import Enum

from duolearn_cli.data.items import LETTERS, Item, Rejected

REASON = "needs_other_options"
_SET = r"(?:all|none|any|both|neither|either)"
_AMOUNT = r"(?:all|none|any|both|neither|either|some|one|two|three|more than one)"
_NAMES = r"(?:options?|choices?|statements?|answers?)"
# The end of what is named: "all above", "both above are true"; not "both above and below", "all above the knee".
_END = r"(?=\s*(?:$|[.,;:()]|(?:are|is|may|can|except|but|mentioned|given|listed)\b))"
# Not "the above-knee stump", "those with fever".
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
# Nothing but such words: "None", "both", "all are true".
_ALONE = re.compile(
    r"(?:all|none|any|both|neither|either)(?:\s+(?:of|are|is|true|false|correct|incorrect|right|wrong|possible))*",
    re.IGNORECASE,
)
_WORDS = (
    r"both|only|options?|choices?|statements?|answers?|are|is|and|or|but|not|nor|neither|either|all|except|of|true|"
    r"false|correct|incorrect|right|wrong|the"
)
_SIGNS = r"[&,+/;.()\s-]+"
_LETTERED = re.compile(rf"(?:(?:{_WORDS}|[A-E])\b|{_SIGNS})+", re.IGNORECASE)
_NUMBERED = re.compile(rf"(?:(?:{_WORDS}|[1-5]|i{{1,3}}|iv|v)\b|{_SIGNS})+", re.IGNORECASE)
_NAMING = re.compile(
    r"\b(?:both|only|options?|choices?|statements?|answers?|true|false|correct|incorrect)\b", re.IGNORECASE
)
_JOINED = re.compile(r"[&,+/]|\b(?:and|or|nor)\b", re.IGNORECASE)
_LIST_MARK = re.compile(r"(?<![A-Za-z0-9])([A-Ea-e]|[1-5]|I{1,3}|IV|V|i{1,3}|iv|v)\s?[.):\]-]")
# What is asked for is a number: "Only 2" is one.
_COUNTED = re.compile(r"\bhow (?:many|much|often|long)\b|\bnumber of\b", re.IGNORECASE)
_NUMBERS = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5}


class Reference(Enum):
    """What an option refers to: nothing, the other options as a set, or options by their letters or numbers."""

    NONE = 0
    OTHERS = 1
    LETTERS = 2


def reference(option: str, question: str = "") -> Reference:
    """What `option` refers to. Letters and numbers of a list in the question are that list's, no options'.

    That depends on the other options too: see `references`.
    """
    text = option.strip().rstrip(".").strip()
    if _ALONE.fullmatch(text) or _OTHERS.search(text):
        return Reference.OTHERS
    for pattern, names in ((_LETTERED, _letters), (_NUMBERED, _numbers)):
        if names is _numbers and _COUNTED.search(question):
            continue
        if pattern.fullmatch(text) and (named := names(text)):
            # Letters alone need a word or sign between them, numbers alone are quantities: "A b", "2, 3".
            are_joined = len(named) > 1 and pattern is _LETTERED and bool(_JOINED.search(text))
            if (are_joined or _NAMING.search(text)) and not named <= _listed(question):
                return Reference.LETTERS
    return Reference.NONE


def _letters(text: str) -> set[int]:
    """The letters that stand alone, as places from 1; "a" beside no other letter is an article."""
    found = re.findall(r"\b[A-E]\b", text, re.IGNORECASE)
    return set() if found == ["a"] else {LETTERS.index(letter.upper()) + 1 for letter in found}


def _numbers(text: str) -> set[int]:
    found = re.findall(r"\b(?:[1-5]|i{1,3}|iv|v)\b", text.lower())
    return {_NUMBERS.get(number) or int(number) for number in found}


def _listed(question: str) -> set[int]:
    """Places that a list inside the question marks: a) ... b) ..., 1. ... 2. ..., i) ... ii) ..."""
    marks = [mark.lower() for mark in _LIST_MARK.findall(question)]
    return {_NUMBERS.get(m) or (int(m) if m.isdigit() else LETTERS.index(m.upper()) + 1) for m in marks}


def references(item: Item) -> list[Reference]:
    """What each option of `item` refers to.

    Where all name letters or numbers, there is no option to name: "A and D", "B and C" are vitamins, or statements.
    """
    found = [reference(option, item.question) for option in item.options]
    return [Reference.NONE] * len(found) if set(found) == {Reference.LETTERS} else found


def needs_options(item: Item) -> bool:
    """Tell whether an option of `item` means nothing where the others are not shown: in a cloze prompt."""
    return any(found is not Reference.NONE for found in references(item))


def needs_letters(item: Item) -> bool:
    """Tell whether an option names others by letter or number: it breaks under any other letters."""
    return Reference.LETTERS in references(item)


def if_alone(item: Item) -> Sequence[Item]:
    """The item itself if it can be asked without showing its options, else nothing."""
    return () if needs_options(item) else (item,)


def if_renamed(item: Item) -> Sequence[Item]:
    """The item itself if its options can have other letters, else nothing."""
    return () if needs_letters(item) else (item,)


def movable(item: Item) -> list[int] | None:
    """Places whose options may change places with each other; None where no order but this one asks the same.

    Options that speak of the others keep their place, which must be the last: "above" are all the others then.
    """
    found = references(item)
    if Reference.LETTERS in found:
        return None
    free = [place for place, one in enumerate(found) if one is Reference.NONE]
    if free != list(range(len(free))) or item.answer not in free or len(free) < 2:
        return None
    return free


def without_needing(items: Iterable[Item]) -> tuple[list[Item], list[Rejected]]:
    """Items that can be asked without showing their options, and the others as rejected rows."""
    kept: list[Item] = []
    rejected: list[Rejected] = []
    for item in items:
        pairs = zip(item.options, references(item), strict=True)
        found = next((option for option, one in pairs if one is not Reference.NONE), None)
        if found is None:
            kept.append(item)
            continue
        detail = f"option {found!r} speaks of other options, which a cloze prompt does not show"
        rejected.append(Rejected(item.source, item.row, item.id, REASON, detail))
    return kept, rejected
