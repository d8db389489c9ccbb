"""Exact and near duplicates between groups of items: what would leak from one split into another.

Two items are near duplicates if their questions and options together are much the same, or if they ask the same and
have the same right answer, whatever their wrong options: the answer is what a model learns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import NamedTuple, cast

from duolearn_cli.data.cleaning import fold
from duolearn_cli.data.items import Item
from duolearn_cli.data.option_references import Reference, reference
from duolearn_cli.errors import ConfigError

SHINGLE_WORDS = 3
# Questions of one answer with this share of letters in common are spelled in two ways: "40/min", "40/ minute". Those of
# minimed that ask for another thing (fluoxetine, fluvoxamine) have up to .961 in common.
SPELLING = 0.97
# Two spellings have fewer words in common than letters.
_SHARED_WORDS = 0.6
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
    the same folded options in any order. `kind` is ``options`` where questions and options together are alike, and
    ``answer`` where only the question and the right answer are.
    """

    group_a: str
    id_a: str
    group_b: str
    id_b: str
    similarity: float
    exact: bool
    kind: str = "options"


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
    """Every pair across groups, of different facts, that is much the same.

    That is: shingles of question and options with a Jaccard index of at least `threshold`; or the same right answer and
    `same_question`. A right answer that speaks of the other options says nothing without them.

    Candidates come from MinHash LSH, which finds a pair just above the threshold with high probability, not with
    certainty; what it proposes is compared exactly. Pairs come in the order of their later item.

    Raises:
        ConfigError: `threshold` is not in (0, 1].
    """
    if not 0 < threshold <= 1:
        raise ConfigError(f"the duplicate threshold is {threshold}; accepted: above 0, at most 1.")
    entries = [_Entry(name, item, shingles(item)) for name, items in groups.items() for item in items]
    kinds: dict[tuple[int, int], str] = {}
    for later, earlier in _candidates(entries, dict(enumerate(entry.shingles for entry in entries)), threshold):
        if jaccard(entries[earlier].shingles, entries[later].shingles) >= threshold:
            kinds[later, earlier] = "options"
    answered = {i: words for i, entry in enumerate(entries) if (words := _words_of_answer(entry.item))}
    for later, earlier in _candidates(entries, answered, min(threshold, _SHARED_WORDS)):
        pair = entries[earlier].item, entries[later].item
        if _answer(pair[0]) == _answer(pair[1]) and same_question(pair[0].question, pair[1].question, threshold):
            kinds.setdefault((later, earlier), "answer")
    return [_duplicate(entries[earlier], entries[later], kind) for (later, earlier), kind in sorted(kinds.items())]


def same_question(one: str, other: str, threshold: float) -> bool:
    """Whether two questions with the same right answer ask the same.

    One has all words of the other, and `threshold` of them or more are in both; or they differ in spelling only (share
    of equal letters `SPELLING` or more). A word in another's place (serotonin, melatonin) makes another question.
    """
    first, second = _words(one), _words(other)
    few, many = sorted((set(first), set(second)), key=len)
    if few <= many and len(few) >= threshold * len(many):
        return True
    letters = SequenceMatcher(None, "".join(first), "".join(second), autojunk=False)
    return all(share() >= SPELLING for share in (letters.real_quick_ratio, letters.quick_ratio, letters.ratio))


def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(fold(text))) or (fold(text),)  # "+" and "-" are options too


def _runs(text: str) -> Iterator[Shingle]:
    words = _words(text)
    for start in range(max(1, len(words) - SHINGLE_WORDS + 1)):
        yield words[start : start + SHINGLE_WORDS]


def _text(item: Item) -> tuple[str, ...]:
    return fold(item.question), *sorted(map(fold, item.options))


def _answer(item: Item) -> str:
    return " ".join(_words(item.answer_text))


def _words_of_answer(item: Item) -> frozenset[Shingle]:
    """The question's words, each with the right answer; none where that answer speaks of the other options."""
    if reference(item.answer_text, item.question) is not Reference.NONE:
        return frozenset()
    return frozenset((_answer(item), word) for word in _words(item.question))


def _duplicate(first: _Entry, second: _Entry, kind: str) -> Duplicate:
    similarity, exact = jaccard(first.shingles, second.shingles), _text(first.item) == _text(second.item)
    return Duplicate(first.group, first.item.id, second.group, second.item.id, similarity, exact, kind)


def _candidates(
    entries: Sequence[_Entry], features: Mapping[int, AbstractSet[Shingle]], threshold: float
) -> Iterator[tuple[int, int]]:
    """Pairs of entries across groups and facts whose `features` share an LSH bucket, each once: later, earlier."""
    from datasketch import MinHash, MinHashLSH

    index, positions = MinHashLSH(threshold=threshold * _SLACK, num_perm=_PERMUTATIONS, weights=_WEIGHTS), [*features]
    encoded = ([" ".join(feature).encode() for feature in features[position]] for position in positions)
    signatures = MinHash.generator(encoded, num_perm=_PERMUTATIONS, seed=_SEED)
    for position, signature in zip(positions, signatures, strict=True):
        second = entries[position]
        for earlier in cast(list[int], index.query(signature)):
            first = entries[earlier]
            if first.group != second.group and first.item.fact_id != second.item.fact_id:
                yield position, earlier
        index.insert(position, signature, check_duplication=False)
