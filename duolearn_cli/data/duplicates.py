"""Exact and near duplicates between groups of items: what would leak from one split into another."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

from duolearn_cli.data.cleaning import fold
from duolearn_cli.data.items import Item
from duolearn_cli.errors import ConfigError

SHINGLE_WORDS = 3
_PERMUTATIONS = 128
_SEED = 20251
# Candidates only cost a comparison, a missed pair is a leak: at the threshold itself about 99 % are found.
_SLACK = 0.85
_WEIGHTS = (0.05, 0.95)  # of false positives and false negatives
_WORD = re.compile(r"\w+")

Shingle = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two items of different groups and facts that say nearly the same.

    `similarity` is the Jaccard index of their shingles, in [0, 1]; `exact` means the same folded question and
    the same folded options in any order.
    """

    group_a: str
    id_a: str
    group_b: str
    id_b: str
    similarity: float
    exact: bool


class _Entry(NamedTuple):
    group: str
    item: Item
    shingles: frozenset[Shingle]


def shingles(item: Item) -> frozenset[Shingle]:
    """Runs of three folded words, of the question and of each option apart: options may be permuted."""
    return frozenset(run for text in (item.question, *item.options) for run in _runs(text))


def jaccard(one: frozenset[Shingle], other: frozenset[Shingle]) -> float:
    """Number of shared shingles over number of different shingles, in [0, 1]."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


def find_duplicates(groups: Mapping[str, Sequence[Item]], threshold: float) -> list[Duplicate]:
    """Every pair across groups, of different facts, with a Jaccard index of at least `threshold`.

    Candidates come from MinHash LSH, which finds a pair just above the threshold with high probability, not with
    certainty; what it proposes is compared exactly. Pairs come in the order of their later item.

    Raises:
        ConfigError: `threshold` is not in (0, 1].
    """
    if not 0 < threshold <= 1:
        raise ConfigError(f"the duplicate threshold is {threshold}; accepted: above 0, at most 1.")
    entries = [_Entry(name, item, shingles(item)) for name, items in groups.items() for item in items]
    found = []
    for first, second in _candidates(entries, threshold):
        similarity = jaccard(first.shingles, second.shingles)
        if similarity >= threshold:
            exact = _text(first.item) == _text(second.item)
            found.append(Duplicate(first.group, first.item.id, second.group, second.item.id, similarity, exact))
    return found


def _runs(text: str) -> Iterator[Shingle]:
    words = tuple(_WORD.findall(fold(text))) or (fold(text),)  # "+" and "-" are options too
    for start in range(max(1, len(words) - SHINGLE_WORDS + 1)):
        yield words[start : start + SHINGLE_WORDS]


def _text(item: Item) -> tuple[str, ...]:
    return fold(item.question), *sorted(map(fold, item.options))


def _candidates(entries: Sequence[_Entry], threshold: float) -> Iterator[tuple[_Entry, _Entry]]:
    """Pairs across groups and facts that share an LSH bucket, each once, earlier entry first."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=threshold * _SLACK, num_perm=_PERMUTATIONS, weights=_WEIGHTS)
    encoded = ([" ".join(shingle).encode() for shingle in entry.shingles] for entry in entries)
    for position, signature in enumerate(MinHash.generator(encoded, num_perm=_PERMUTATIONS, seed=_SEED)):
        second = entries[position]
        for earlier in sorted(cast(list[int], index.query(signature))):
            first = entries[earlier]
            if first.group != second.group and first.item.fact_id != second.item.fact_id:
                yield first, second
        index.insert(position, signature, check_duplication=False)
