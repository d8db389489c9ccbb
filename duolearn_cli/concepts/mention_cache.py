"""Mentions of a large collection of texts, kept on disk: found once, then read by every run on the same data."""

from __future__ import annotations

import hashlib
import json
import os
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from duolearn_cli.concepts.hierarchy import Hierarchy
from duolearn_cli.concepts.matcher import VERSION, Matcher, Mention

# Fewer texts are searched about as quickly as their mentions are read.
MIN_TEXTS = 10_000
_SCHEMA = 1


class CachedMatcher(Matcher):
    """A Matcher that takes the mentions of `texts` from a file in `folder`, which it writes where there is none.

    The file goes by the hash of all that its content follows from; one that is damaged is written anew. Texts that are
    not among `texts` are searched. With `may_write` false nothing is written.
    """

    def __init__(self, hierarchy: Hierarchy, texts: Iterable[str], folder: Path, *, may_write: bool = True) -> None:
        super().__init__(hierarchy)
        self._known: dict[str, tuple[Mention, ...]] = {}
        distinct = list(dict.fromkeys(texts))
        if len(distinct) >= MIN_TEXTS:
            path = folder / f"{_key(hierarchy, distinct)}.jsonl"
            mentions = _read(path)
            if mentions is None:
                mentions = list(map(super().find, distinct))
                if may_write:
                    _write(path, mentions)
            self._known = dict(zip(distinct, mentions, strict=True))

    def find(self, text: str) -> tuple[Mention, ...]:
        """Return the mentions in `text`, as Matcher.find does."""
        known = self._known.get(text)
        return super().find(text) if known is None else known


def fingerprint(hierarchy: Hierarchy) -> str:
    """Hash of the ids, levels and terms of a hierarchy, in its order: of two variants that clash the first counts."""
    return _hash([(concept.id, concept.level, concept.terms) for concept in hierarchy.concepts.values()])


def _key(hierarchy: Hierarchy, texts: Sequence[str]) -> str:
    # Folding follows the Unicode tables of the Python that runs it.
    return _hash([_SCHEMA, VERSION, unicodedata.unidata_version, fingerprint(hierarchy), texts])


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _read(path: Path) -> list[tuple[Mention, ...]] | None:
    """The mentions text by text, or None where there is no file or its content is not what was written."""
    try:
        head, _, body = path.read_text(encoding="utf-8").partition("\n")
    except (OSError, ValueError):
        return None
    if head != _head(body):
        return None
    content = json.loads(body)
    ids = content["concepts"]
    return [
        tuple(Mention(start, end, ids[concept]) for start, end, concept in zip(*[iter(row)] * 3, strict=True))
        for row in content["mentions"]
    ]


def _write(path: Path, mentions: Sequence[tuple[Mention, ...]]) -> None:
    number: dict[str, int] = {}
    rows = [
        [value for m in row for value in (m.start, m.end, number.setdefault(m.concept, len(number)))]
        for row in mentions
    ]
    body = json.dumps({"concepts": list(number), "mentions": rows}, separators=(",", ":")) + "\n"
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(OSError):  # a run without this file is slower, not wrong
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(f"{_head(body)}\n{body}", encoding="utf-8")
        part.replace(path)
    with suppress(OSError):
        part.unlink(missing_ok=True)


def _head(body: str) -> str:
    return json.dumps({"schema": _SCHEMA, "sha256": hashlib.sha256(body.encode()).hexdigest()})
