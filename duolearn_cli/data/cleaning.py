"""Values of a row as text and as numbers: what counts as empty, as the same text, as a whole number."""

from __future__ import annotations

import math
import re
import unicodedata

from duolearn_cli.data.marks import visible

# NUL and lone surrogates: text that later steps cannot hash, tokenize or write.
UNUSABLE = re.compile("[\0\ud800-\udfff]")
_INTEGER = re.compile(r"([+-]?\d{1,9})(\.0*)?", re.ASCII)


def clean(value: object) -> str:
    """Text, NFC-normalised and stripped; empty for None and NaN (how pandas writes a missing value)."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return unicodedata.normalize("NFC", str(value)).strip()


def fold(value: object) -> str:
    """`clean`, with case and runs of whitespace made equal and without characters that have no width."""
    return " ".join(visible(clean(value)).casefold().split())


def whole_number(value: object) -> int | None:
    """The integer that 3, 3.0, "3" or "3.0" stands for; None for everything else, bool included."""
    if isinstance(value, bool):
        return None
    match = _INTEGER.fullmatch(clean(value))
    return int(match[1]) if match else None
