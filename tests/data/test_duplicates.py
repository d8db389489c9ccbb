"""What LSH finds is what comparing every pair finds, and only what leaks."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations, product

import pytest

from duolearn_cli.data.duplicates import Duplicate, find_duplicates, jaccard, shingles
from duolearn_cli.data.items import Item
from duolearn_cli.errors import ConfigError


def item(name: str, question: str, options: tuple[str, ...] = ("yes", "no"), fact: str = "") -> Item:
    return Item(id=name, question=question, options=options, answer=0, fact=fact)


def noisy_items(count: int, seed: int) -> list[Item]:
    """Items in families of four: a sentence and copies of it with one, two or three words changed."""
    rng = random.Random(seed)
    words = [f"word{number}" for number in range(400)]
    items: list[Item] = []
    while len(items) < count:
        sentence = rng.choices(words, k=25)
        options = tuple(" ".join(rng.choices(words, k=2)) for _ in range(4))
        for changes in range(4):
            changed = sentence.copy()
            for position in rng.sample(range(25), changes):
                changed[position] = rng.choice(words)
            items.append(item(f"i{len(items)}", " ".join(changed), options))
    return items[:count]


def brute_force(groups: Mapping[str, Sequence[Item]], threshold: float) -> set[tuple[str, str]]:
    pairs = (pair for one, other in combinations(groups, 2) for pair in product(groups[one], groups[other]))
    return {(a.id, b.id) for a, b in pairs if jaccard(shingles(a), shingles(b)) >= threshold}


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.85, 1.0])
def test_agrees_with_brute_force(threshold: float) -> None:
    items = noisy_items(240, seed=1)
    groups = {"a": items[0::3], "b": items[1::3], "c": items[2::3]}
    found = find_duplicates(groups, threshold)
    pairs = {(pair.id_a, pair.id_b) for pair in found}
    expected = brute_force(groups, threshold)
    assert pairs <= expected
    assert len(pairs) >= 0.98 * len(expected)
    assert len(pairs) == len(found)
    assert expected or threshold == 1.0


def test_exact_ignores_case_space_and_order_of_options() -> None:
    one = item("1", "Which organ stores bile after a meal?", ("Liver", "Gallbladder"))
    other = item("2", " which organ  stores BILE after a meal?", ("gallbladder", "liver"))
    assert find_duplicates({"a": [one], "b": [other]}, 0.9) == [Duplicate("a", "1", "b", "2", 1.0, True)]


def test_same_words_but_other_punctuation_is_not_exact() -> None:
    one, other = item("1", "Stores bile after a meal?"), item("2", "Stores bile after a meal:")
    (pair,) = find_duplicates({"a": [one], "b": [other]}, 1.0)
    assert (pair.similarity, pair.exact) == (1.0, False)


def test_only_across_groups_and_facts() -> None:
    one = item("1", "The same question over and over", fact="f")
    assert find_duplicates({"a": [one, replace(one, id="2", fact="g")], "b": []}, 0.5) == []
    assert find_duplicates({"a": [one], "b": [replace(one, id="2")]}, 0.5) == []
    assert len(find_duplicates({"a": [one], "b": [replace(one, id="2", fact="g")]}, 0.5)) == 1


def test_similarity_is_the_true_index() -> None:
    one, other = item("1", "a b c d e f"), item("2", "a b c d e g")
    (pair,) = find_duplicates({"a": [one], "b": [other]}, 0.5)
    assert pair.similarity == 5 / 7  # three of four runs and both options are shared, of seven


def test_options_without_words_count() -> None:
    assert shingles(item("1", "?", ("+", "-"))) == {("?",), ("+",), ("-",)}


def test_deterministic() -> None:
    items = noisy_items(100, seed=2)
    groups = {"a": items[::2], "b": items[1::2]}
    assert find_duplicates(groups, 0.6) == find_duplicates(groups, 0.6)


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.1])
def test_threshold_out_of_range(threshold: float) -> None:
    with pytest.raises(ConfigError, match="above 0, at most 1"):
        find_duplicates({}, threshold)


def test_fast_enough() -> None:
    items = noisy_items(2060, seed=3)
    start = time.perf_counter()
    find_duplicates({"a": items[::2], "b": items[1::2]}, 0.7)
    assert time.perf_counter() - start < 20  # about one second; the margin is for a busy machine
