"""A matcher that caches its costly results on disk: a hierarchy's forms, and the mentions in many texts."""

from __future__ import annotations

import ast
import inspect
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from duolearn_cli.concepts import cache_file, context, folding, matcher, variants
from duolearn_cli.concepts.cache_file import content_hash
from duolearn_cli.concepts.hierarchy import Hierarchy
from duolearn_cli.concepts.matcher import VERSION, Matcher, Mention

# Below these sizes a cache does not pay. Fewer texts are searched about as fast as their mentions are read from disk.
MIN_TEXTS = 10_000
# The forms of fewer terms are made in a quarter of a second (those of medical4 took 0.8 s of every start).
MIN_TERMS = 10_000
_SCHEMA = 1


class CachedMatcher(Matcher):
    """A Matcher that reads forms and the mentions in `texts` from files in `folder`, and writes missing files.

    A file's name is the hash of everything that determines its content, so a stale file is never read. A damaged file
    is written again. Texts other than `texts` are searched as usual. With `may_write` false nothing is written.
    """

    def __init__(self, hierarchy: Hierarchy, texts: Iterable[str], folder: Path, *, may_write: bool = True) -> None:
        super().__init__(hierarchy)
        self._folder, self._may_write = folder, may_write
        self._known: dict[str, tuple[Mention, ...]] = {}
        distinct = list(dict.fromkeys(texts))
        if len(distinct) >= MIN_TEXTS:
            path = folder / f"{_mentions_key(hierarchy, distinct)}.jsonl"
            mentions = _mentions(cache_file.read(path))
            if mentions is None:
                mentions = list(map(super().find, distinct))
                self._write(path, _mentions_content(mentions))
            self._known = dict(zip(distinct, mentions, strict=True))

    def find(self, text: str) -> tuple[Mention, ...]:
        """Return the mentions in `text`, the same as Matcher.find."""
        known = self._known.get(text)
        return super().find(text) if known is None else known

    def _forms(self) -> dict[str, str]:
        if sum(len(concept.terms) for concept in self._hierarchy.concepts.values()) < MIN_TERMS:
            return super()._forms()
        path = self._folder / f"forms-{_forms_key(self._hierarchy)}.jsonl"
        cached = cache_file.read(path)
        if cached is not None:
            return dict(zip(cached["forms"], map(cached["concepts"].__getitem__, cached["owners"]), strict=True))
        forms = super()._forms()
        # Concepts are written as numbers: their ids would repeat for each of many forms.
        number = {concept: place for place, concept in enumerate(dict.fromkeys(forms.values()))}
        owners = [number[concept] for concept in forms.values()]
        self._write(path, {"concepts": list(number), "forms": list(forms), "owners": owners})
        return forms

    def _write(self, path: Path, content: object) -> None:
        if self._may_write:
            cache_file.write(path, content)


def fingerprint(hierarchy: Hierarchy) -> str:
    """Return a hash of a hierarchy's ids, levels, terms and contexts, in the hierarchy's order.

    The order is part of it, because the first of two concepts that share a form gets the form.
    """
    return content_hash(
        [
            (concept.id, concept.level, concept.terms, [(term, str(context)) for term, context in concept.contexts])
            for concept in hierarchy.concepts.values()
        ]
    )


def _mentions_key(hierarchy: Hierarchy, texts: Sequence[str]) -> str:
    # Folding uses the Unicode tables of the running Python, so their version is part of the key.
    return content_hash([_SCHEMA, VERSION, unicodedata.unidata_version, fingerprint(hierarchy), texts])


def _forms_key(hierarchy: Hierarchy) -> str:
    # Every run reads this file, so it must not outlive the code that made it. The syntax tree is hashed rather than
    # the source, so that comments and formatting do not discard users' caches.
    code = [ast.dump(ast.parse(inspect.getsource(module))) for module in (folding, variants, context, matcher)]
    return content_hash([_SCHEMA, code, unicodedata.unidata_version, fingerprint(hierarchy)])


def _mentions(content: Any) -> list[tuple[Mention, ...]] | None:
    """Return the mentions of each text from a cache file's content, or None without content."""
    if content is None:
        return None
    ids = content["concepts"]
    # A row is a flat list: start, end and the concept's number of the first mention, then of the second, and so on.
    return [
        tuple(Mention(start, end, ids[concept]) for start, end, concept in zip(*[iter(row)] * 3, strict=True))
        for row in content["mentions"]
    ]


def _mentions_content(mentions: Sequence[tuple[Mention, ...]]) -> dict[str, Any]:
    number: dict[str, int] = {}
    rows = [
        [value for m in row for value in (m.start, m.end, number.setdefault(m.concept, len(number)))]
        for row in mentions
    ]
    return {"concepts": list(number), "mentions": rows}
