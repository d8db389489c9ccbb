"""Folding: texts that differ only in case, accents, dashes, quotes or white space get one form.

Folding changes lengths (ligatures grow, accents vanish), so a folded text keeps a map to the characters of its source.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

# Characters that Unicode's compatibility decomposition does not split. Every dash and joiner becomes "-" first; which
# of them join and which separate is decided later, by the white space around them (`_fold_runs`).
_SINGLE = {
    **dict.fromkeys("_/\u2044\u2215\u2212\uff0f\uff3f", "-"),
    **dict.fromkeys("`\u00b4\u02b9\u02bb\u02bc\u2018\u2019\u201a\u201b\u2032\uff07", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\uff02", '"'),
    **{"\u00e6": "ae", "\u0153": "oe", "\u00f8": "o", "\u0142": "l", "\u0111": "d", "\u0131": "i"},
}
# The same for plain ASCII, where one pass of str.translate does it all and no character changes its place.
_ASCII = str.maketrans("\t\n\v\f\r\x1c\x1d\x1e\x1f_/`", " " * 9 + "--'")
_IGNORED = {"Mn", "Me", "Cf"}  # Unicode categories: accents (Mn, Me), soft hyphens and zero-width characters (Cf)
_PAIRS, _RUNS = ("  ", " -", "- ", "--"), re.compile("[ -]+")
_JOINT = re.compile(" +-?|- *")


@dataclass(frozen=True, slots=True)
class Folded:
    """A folded text and its map to the source.

    Character k of `text` comes from ``source[origins[k]:origins[k + 1]]``; `origins` has len(text) + 1 entries.
    All characters of one ligature have the same origin, so the span is empty for all but the last of them.
    Characters that folding drops, such as combining marks, belong to the character before them.
    """

    source: str
    text: str
    origins: Sequence[int]

    def is_border(self, place: int) -> bool:
        """Return whether a word may begin or end before character `place` of the folded text.

        It may not inside a word of the source, nor inside a ligature.
        """
        if place in (0, len(self.text)):
            return True
        before, after = self.origins[place - 1], self.origins[place]
        return not (is_word(self.source[before]) and is_word(self.source[after]))


def is_word(char: str) -> bool:
    """Return whether `char` is part of a word: a letter, a digit, or a combining mark."""
    return char.isalnum() or unicodedata.category(char)[0] == "M"


def fold(text: str) -> str:
    """Return the folded text without its map (see `fold_mapped`)."""
    return fold_mapped(text).text


def fold_mapped(text: str) -> Folded:
    """Fold case, accents, ligatures, quotes, dashes and white space, and drop characters without width.

    These become one space, because they join words: a dash, underscore or slash; a run of white space, line breaks
    included; a dash with white space on one side ("X- ray"). These become "-", because they separate: a dash with white
    space on both sides, and several dashes in a row.
    """
    # Most texts are ASCII, and then no character changes its place: the map is a range, which costs nothing.
    if text.isascii():
        plain = text.lower().translate(_ASCII)
        return _fold_runs(text, plain, range(len(text) + 1))
    pieces = [_fold_character(char) for char in text]
    origins = [place for place, piece in enumerate(pieces) for _ in piece]
    return _fold_runs(text, "".join(pieces), [*origins, len(text)])


def _fold_runs(source: str, plain: str, origins: Sequence[int]) -> Folded:
    if not any(pair in plain for pair in _PAIRS):  # much quicker than the regular expression below
        return Folded(source, plain.replace("-", " "), origins)
    parts: list[str] = []
    places: list[int] = []
    end = 0
    for run in _RUNS.finditer(plain):
        parts += plain[end : run.start()], " " if _JOINT.fullmatch(run[0]) else "-"
        places += origins[end : run.start() + 1]  # a run becomes one character, which keeps the run's first place
        end = run.end()
    return Folded(source, "".join([*parts, plain[end:]]), [*places, *origins[end:]])


@lru_cache(maxsize=65_536)
def _fold_character(char: str) -> str:
    # Only letters and digits are decomposed by compatibility (NFKD): it would turn a symbol such as the trade mark sign
    # into letters, and they would join the word before it.
    form = "NFKD" if char.isalnum() else "NFD"
    # Twice, because a decomposition can yield capitals, as that of mathematical bold letters does.
    once = unicodedata.normalize(form, char.casefold())
    return "".join(map(_fold_piece, unicodedata.normalize(form, once.casefold())))


def _fold_piece(char: str) -> str:
    category = unicodedata.category(char)
    if category in _IGNORED or unicodedata.combining(char):
        return ""
    if category == "Cs":  # half of a surrogate pair: no encoding can write it
        return "\ufffd"
    if category == "Pd":
        return "-"
    return " " if char.isspace() else _SINGLE.get(char, char)
