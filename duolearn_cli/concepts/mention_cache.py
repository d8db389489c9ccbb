"""What finding concepts costs, kept on disk: a hierarchy's forms, and the mentions of a large collection of texts."""

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

# Fewer texts are searched about as quickly as their mentions are read.
MIN_TEXTS = 10_000
# The forms of fewer terms are made in a quarter of a second.
MIN_TERMS = 10_000
_SCHEMA = 1


class CachedMatcher(Matcher):
    """A Matcher that takes forms and the mentions of `texts` from files in `folder`, which it writes where missing.

    Each file goes by the hash of all that its content follows from; one that is damaged is written anew. Texts that are
    not among `texts` are searched. With `may_write` false nothing is written.
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
        """Return the mentions in `text`, as Matcher.find does."""
        known = self._known.get(text)
        return super().find(text) if known is None else known

    def _forms(self) -> dict[str, str]:
        if sum(len(concept.terms) for concept in self._hierarchy.concepts.values()) < MIN_TERMS:
            return super()._forms()
        path = self._folder / f"forms-{_forms_key(self._hierarchy)}.jsonl"
        kept = cache_file.read(path)
        if kept is not None:
            return dict(zip(kept["forms"], map(kept["concepts"].__getitem__, kept["owners"]), strict=True))
        made = super()._forms()
        number = {concept: place for place, concept in enumerate(dict.fromkeys(made.values()))}
        owners = [number[concept] for concept in made.values()]
        self._write(path, {"concepts": list(number), "forms": list(made), "owners": owners})
        return made

    def _write(self, path: Path, content: object) -> None:
        if self._may_write:
            cache_file.write(path, content)


def fingerprint(hierarchy: Hierarchy) -> str:
    """Hash of the ids, levels and terms of a hierarchy, with their contexts, in its order.

    The order counts: of two variants that clash the first one does.
    """
    return content_hash(
        [
            (concept.id, concept.level, concept.terms, [(term, str(context)) for term, context in concept.contexts])
            for concept in hierarchy.concepts.values()
        ]
    )


def _mentions_key(hierarchy: Hierarchy, texts: Sequence[str]) -> str:
    # Folding follows the Unicode tables of the Python that runs it.
    return content_hash([_SCHEMA, VERSION, unicodedata.unidata_version, fingerprint(hierarchy), texts])


def _forms_key(hierarchy: Hierarchy) -> str:
    # Every run reads this file: it must not outlive a change of the code that made it. Layout does not count.
    code = [ast.dump(ast.parse(inspect.getsource(module))) for module in (folding, variants, context, matcher)]
    return content_hash([_SCHEMA, code, unicodedata.unidata_version, fingerprint(hierarchy)])


def _mentions(kept: Any) -> list[tuple[Mention, ...]] | None:
    """The mentions text by text, as they were kept."""
    if kept is None:
        return None
    ids = kept["concepts"]
    return [
        tuple(Mention(start, end, ids[concept]) for start, end, concept in zip(*[iter(row)] * 3, strict=True))
        for row in kept["mentions"]
    ]


def _mentions_content(mentions: Sequence[tuple[Mention, ...]]) -> dict[str, Any]:
    number: dict[str, int] = {}
    rows = [
        [value for m in row for value in (m.start, m.end, number.setdefault(m.concept, len(number)))]
        for row in mentions
    ]
    return {"concepts": list(number), "mentions": rows}
