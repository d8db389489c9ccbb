"""Find exact and near duplicates between groups of items, which would leak from one split into another.

Two items are near duplicates in two cases: their questions and options together are nearly the same; or they ask the
same question and have the same right answer, whatever their wrong options, because the answer is what a model learns.
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

SHINGLE_WORDS = 3  # words in a shingle, the unit of comparison
# Two questions with the same answer and at least this share of letters in common are spellings of one question:
# "40/min", "40/ minute". Different questions of minimed (fluoxetine, fluvoxamine) reach 0.961.
SPELLING = 0.97
# The LSH threshold for questions with the same answer: two spellings share fewer words than letters.
_SHARED_WORDS = 0.6
_PERMUTATIONS = 128  # hash functions of a MinHash signature
_SEED = 20251
# A false candidate costs one comparison, but a missed pair is a leak. So LSH searches below the threshold and weighs
# false negatives more; of the pairs exactly at the threshold it then finds about 99 %.
_SLACK = 0.85
_WEIGHTS = (0.05, 0.95)  # of false positives and of false negatives
_WORD = re.compile(r"\w+")

Shingle = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two items that are nearly the same but belong to different groups and facts.

    `similarity` is the Jaccard index of their shingles, in [0, 1]. `exact` means that the folded questions are equal,
    and so are the folded options in any order. `kind` is ``options`` if questions and options together are alike, and
    ``answer`` if only the question and the right answer are.
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
    """Return all runs of three folded words within the question and within each option.

    No run crosses from one text to another, so the order of the options does not matter.
    """
    return frozenset(run for text in (item.question, *item.options) for run in _runs(text))


def jaccard(one: frozenset[Shingle], other: frozenset[Shingle]) -> float:
    """Return the Jaccard index of two sets of shingles: the size of the intersection over that of the union."""
    shared = len(one & other)
    # No set is empty: `_runs` yields at least one shingle of every text.
    return shared / (len(one) + len(other) - shared)


def find_duplicates(groups: Mapping[str, Sequence[Item]], threshold: float) -> list[Duplicate]:
    """Return all pairs of near duplicates across groups that belong to different facts, ordered by their later item.

    A pair counts if the shingles of question and options have a Jaccard index of at least `threshold`, or if the right
    answers are equal and the questions are the same (`same_question`). The second case needs a right answer with a
    meaning of its own: "none of the above" is skipped.

    MinHash LSH proposes candidates, and each candidate is then compared exactly. LSH finds a pair just above the
    threshold with high probability, but not with certainty.

    Raises:
        ConfigError: `threshold` is not in (0, 1].
    """
    if not 0 < threshold <= 1:
        raise ConfigError(f"the duplicate threshold is {threshold}; accepted: above 0, at most 1.")
    # Beginnings of one text are alike on purpose: one goes on where the other ends.
    asked = ((name, item) for name, items in groups.items() for item in items if not item.continues)
    entries = [_Entry(name, item, shingles(item)) for name, item in asked]
    kinds: dict[tuple[int, int], str] = {}
    for later, earlier in _candidates(entries, dict(enumerate(entry.shingles for entry in entries)), threshold):
        if jaccard(entries[earlier].shingles, entries[later].shingles) >= threshold:
            kinds[later, earlier] = "options"
    # A second index for questions with the same answer. A pair that is already known as "options" stays that.
    answered = {i: words for i, entry in enumerate(entries) if (words := _words_of_answer(entry.item))}
    for later, earlier in _candidates(entries, answered, min(threshold, _SHARED_WORDS)):
        pair = entries[earlier].item, entries[later].item
        if _answer(pair[0]) == _answer(pair[1]) and same_question(pair[0].question, pair[1].question, threshold):
            kinds.setdefault((later, earlier), "answer")
    return [_duplicate(entries[earlier], entries[later], kind) for (later, earlier), kind in sorted(kinds.items())]


def same_question(one: str, other: str, threshold: float) -> bool:
    """Return whether two questions with the same right answer ask the same thing.

    They do if one contains all words of the other and at least the share `threshold` of the longer one's words is
    common, or if they differ only in spelling (the share of equal letters is at least `SPELLING`). A replaced word
    (serotonin, melatonin) makes a different question.
    """
    first, second = _words(one), _words(other)
    few, many = sorted((set(first), set(second)), key=len)
    if few <= many and len(few) >= threshold * len(many):
        return True
    # autojunk would ignore the letters that are frequent in a text of 200 or more, which is most of them.
    letters = SequenceMatcher(None, "".join(first), "".join(second), autojunk=False)
    # The first two ratios are cheap upper bounds of the third, so the costly one is rarely computed.
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
    """Return the question's words, each paired with the right answer; nothing if the answer refers to other options.

    The pairing makes LSH compare only questions with equal answers.
    """
    if reference(item.answer_text, item.question) is not Reference.NONE:
        return frozenset()
    return frozenset((_answer(item), word) for word in _words(item.question))


def _duplicate(first: _Entry, second: _Entry, kind: str) -> Duplicate:
    similarity, exact = jaccard(first.shingles, second.shingles), _text(first.item) == _text(second.item)
    return Duplicate(first.group, first.item.id, second.group, second.item.id, similarity, exact, kind)


def _candidates(
    entries: Sequence[_Entry], features: Mapping[int, AbstractSet[Shingle]], threshold: float
) -> Iterator[tuple[int, int]]:
    """Yield (later, earlier) for entries of different groups and facts whose `features` share an LSH bucket.

    An entry is inserted after it was queried, so that each pair comes once.
    """
    from datasketch import MinHash, MinHashLSH

    index, positions = MinHashLSH(threshold=threshold * _SLACK, num_perm=_PERMUTATIONS, weights=_WEIGHTS), [*features]
    encoded = ([" ".join(feature).encode() for feature in features[position]] for position in positions)
    signatures = MinHash.generator(encoded, num_perm=_PERMUTATIONS, seed=_SEED)
    for position, signature in zip(positions, signatures, strict=True):
        second = entries[position]
        for earlier in cast(list[int], index.query(signature)):
            first = entries[earlier]
            # Phrasings of one fact are alike on purpose.
            if first.group != second.group and first.item.fact_id != second.item.fact_id:
                yield position, earlier
        index.insert(position, signature, check_duplication=False)
