"""Convert the values of a row: to clean text, to a form for comparison, to a whole number."""

from __future__ import annotations

import math
import re
import unicodedata

from duolearn_cli.data.marks import visible

# NUL and lone surrogates: later steps cannot hash, tokenise or write such text.
UNUSABLE = re.compile("[\0\ud800-\udfff]")
_INTEGER = re.compile(r"([+-]?\d{1,9})(\.0*)?", re.ASCII)


def clean(value: object) -> str:
    """Return a value as text, NFC-normalised and stripped; empty for None and NaN, which is pandas' missing value."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return unicodedata.normalize("NFC", str(value)).strip()


def fold(value: object) -> str:
    """Return a value as text for comparison: `clean`, in one case, with single spaces, and without characters that have
    no width."""
    return " ".join(visible(clean(value)).casefold().split())


def whole_number(value: object) -> int | None:
    """Return the integer that 3, 3.0, "3" or "3.0" means, or None for everything else, booleans included."""
    if isinstance(value, bool):
        return None
    match = _INTEGER.fullmatch(clean(value))
    return int(match[1]) if match else None
