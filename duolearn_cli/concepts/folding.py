"""Folding: one form for texts that case, accents, dashes, quotes or white space tell apart, mapped to the original."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

# What compatibility decomposition leaves whole; "-" stands for every dash until runs of separators are folded.
_SINGLE = {
    **dict.fromkeys("_/\u2044\u2215\u2212\uff0f\uff3f", "-"),
    **dict.fromkeys("`\u00b4\u02b9\u02bb\u02bc\u2018\u2019\u201a\u201b\u2032\uff07", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\uff02", '"'),
    **{"\u00e6": "ae", "\u0153": "oe", "\u00f8": "o", "\u0142": "l", "\u0111": "d", "\u0131": "i"},
}
_ASCII = str.maketrans("\t\n\v\f\r\x1c\x1d\x1e\x1f_/`", " " * 9 + "--'")
_IGNORED = {"Mn", "Me", "Cf"}  # accents; soft hyphens and zero-width characters
_PAIRS, _RUNS = ("  ", " -", "- ", "--"), re.compile("[ -]+")
_JOINT = re.compile(" +-?|- *")


@dataclass(frozen=True, slots=True)
class Folded:
    """`source` folded to `text`, whose character k stands for ``source[origins[k]:origins[k + 1]]``.

    The characters of one ligature have one origin, and only the last of them stands for it. `origins` has one entry
    more than `text`. Ignored characters, combining marks above all, belong to the character that they follow.
    """

    source: str
    text: str
    origins: Sequence[int]

    def is_border(self, place: int) -> bool:
        """Tell whether no word of the source, let alone a ligature, goes on across the folded place `place`."""
        if place in (0, len(self.text)):
            return True
        before, after = self.origins[place - 1], self.origins[place]
        return not (is_word(self.source[before]) and is_word(self.source[after]))


def is_word(char: str) -> bool:
    """Tell whether `char` is part of a word: a letter, a digit, or a mark on one."""
    return char.isalnum() or unicodedata.category(char)[0] == "M"


def fold(text: str) -> str:
    """Return `text` folded: see `fold_mapped`."""
    return fold_mapped(text).text


def fold_mapped(text: str) -> Folded:
    """Fold case, accents, ligatures, quotes, dashes and white space; leave out what has no width.

    A dash, underscore or slash joins words as a space does, and so does a run of white space, line breaks included, or
    a dash with white space on one side ("X- ray"). A dash with white space on both sides, or several, separates.
    """
    if text.isascii():
        plain = text.lower().translate(_ASCII)
        return _fold_runs(text, plain, range(len(text) + 1))
    pieces = [_fold_character(char) for char in text]
    origins = [place for place, piece in enumerate(pieces) for _ in piece]
    return _fold_runs(text, "".join(pieces), [*origins, len(text)])


def _fold_runs(source: str, plain: str, origins: Sequence[int]) -> Folded:
    if not any(pair in plain for pair in _PAIRS):  # much quicker than a regular expression
        return Folded(source, plain.replace("-", " "), origins)
    parts: list[str] = []
    kept: list[int] = []
    end = 0
    for run in _RUNS.finditer(plain):
        parts += plain[end : run.start()], " " if _JOINT.fullmatch(run[0]) else "-"
        kept += origins[end : run.start() + 1]
        end = run.end()
    return Folded(source, "".join([*parts, plain[end:]]), [*kept, *origins[end:]])


@lru_cache(maxsize=65_536)
def _fold_character(char: str) -> str:
    # A symbol such as the trade mark sign must not become letters of the word before it.
    form = "NFKD" if char.isalnum() else "NFD"
    once = unicodedata.normalize(form, char.casefold())
    return "".join(map(_fold_piece, unicodedata.normalize(form, once.casefold())))


def _fold_piece(char: str) -> str:
    category = unicodedata.category(char)
    if category in _IGNORED or unicodedata.combining(char):
        return ""
    if category == "Cs":  # half a surrogate pair, which no encoding knows
        return "\ufffd"
    if category == "Pd":
        return "-"
    return " " if char.isspace() else _SINGLE.get(char, char)
