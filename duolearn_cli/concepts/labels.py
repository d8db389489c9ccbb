"""Which spellings of a data label mean the same label."""

from __future__ import annotations

import re
from functools import lru_cache

from duolearn_cli.concepts.folding import fold

_WHOLE = re.compile(r"(\d+)\.0+")  # a numeric label that a spreadsheet or pandas turned into a float


@lru_cache(maxsize=16_384)
def label_key(label: str) -> str:
    """Return the form under which labels are compared; `label` is a subject or SUBJECT/TOPIC.

    Case, accents, hyphens and extra spaces do not matter; "&" equals "and" and 1.0 equals 1.
    """
    subject, slash, topic = label.partition("/")
    return f"{_folded(subject)}/{_folded(topic)}" if slash else _folded(subject)


def _folded(text: str) -> str:
    whole = _WHOLE.fullmatch(text.strip())
    return whole[1] if whole else fold(text.replace("&", " and ").strip()).strip()
