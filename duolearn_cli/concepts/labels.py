"""When two data labels are the same."""

from __future__ import annotations

import re
from functools import lru_cache

from duolearn_cli.concepts.folding import fold

_WHOLE = re.compile(r"(\d+)\.0+")


@lru_cache(maxsize=16_384)
def label_key(label: str) -> str:
    """A subject, or SUBJECT/TOPIC, without case, accents, hyphens and extra spaces; "&" is "and" and 1.0 is 1."""
    subject, slash, topic = label.partition("/")
    return f"{_folded(subject)}/{_folded(topic)}" if slash else _folded(subject)


def _folded(text: str) -> str:
    whole = _WHOLE.fullmatch(text.strip())
    return whole[1] if whole else fold(text.replace("&", " and ").strip()).strip()
