"""The invariants of a split: disjoint facts, no item lost, exact shares, stable under growth, no leaks."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duolearn_cli.data.duplicates import Duplicate
from duolearn_cli.data.items import Item
from duolearn_cli.data.splits import Splits, drop_duplicates, make_splits
from duolearn_cli.errors import ConfigError, DataError

TRAINED, UNSEEN = ("forget_train", "retain_train"), ("forget_unseen", "retain_unseen")


def item(number: int, subject: str, heldout: bool = False) -> Item:
    name = f"f{number}-held" if heldout else f"f{number}"
    return Item(name, f"Question {name}?", ("yes", "no"), 0, subject=subject, fact=f"f{number}", heldout=heldout)


def is_forget(candidate: Item) -> bool:
    return candidate.subject == "Surgery"


@st.composite
def sources(draw: st.DrawFn) -> list[Item]:
    """Draw two or more facts on each side, some with a held-out phrasing."""
    subjects = ["Surgery"] * draw(st.integers(2, 40)) + ["Anatomy"] * draw(st.integers(2, 40))
    subjects += draw(st.lists(st.sampled_from(["Dental", "Skin", "Surgery"]), max_size=30))
    heldout = draw(st.lists(st.booleans(), min_size=len(subjects), max_size=len(subjects)))
    items = [item(number, subject) for number, subject in enumerate(subjects)]
    items += [item(number, subject, True) for number, subject in enumerate(subjects) if heldout[number]]
    return draw(st.permutations(items))


def split(items: list[Item], seed: int = 0, fraction: float = 0.3, most: int | None = None) -> Splits:
    return make_splits(items, is_forget, seed=seed, unseen_fraction=fraction, max_forget=most, max_retain=most)


def facts(items: tuple[Item, ...]) -> set[str]:
    return {entry.fact_id for entry in items}


def sized(num_forget: int, num_retain: int) -> list[Item]:
    subjects = ["Surgery"] * num_forget + ["Anatomy"] * num_retain
    return [item(number, subject) for number, subject in enumerate(subjects)]


@settings(max_examples=50)
@given(sources(), st.integers(0, 5), st.floats(0, 0.9), st.none() | st.integers(1, 20))
def test_facts_are_disjoint_and_sides_hold(items: list[Item], seed: int, fraction: float, most: int | None) -> None:
    result = split(items, seed, fraction, most)
    groups = [facts(result.by_name()[name]) for name in TRAINED + UNSEEN]
    assert all(one.isdisjoint(other) for one, other in combinations(groups, 2))
    for name, members in result.by_name().items():
        assert all(is_forget(entry) == name.startswith("forget") for entry in members)
    for side in ("forget", "retain"):
        train, heldout = result.by_name()[f"{side}_train"], result.by_name()[f"{side}_heldout"]
        assert train and not any(entry.heldout for entry in train)
        assert all(entry.heldout for entry in heldout)
        assert facts(heldout) <= facts(train)
        assert most is None or len(facts(train)) <= most


@settings(max_examples=50)
@given(sources(), st.floats(0, 0.9))
def test_nothing_is_lost_and_fractions_hold(items: list[Item], fraction: float) -> None:
    result = split(items, fraction=fraction)
    assert Counter(entry for members in result.by_name().values() for entry in members) == Counter(items)
    for side in ("forget", "retain"):
        trained = len(facts(result.by_name()[f"{side}_train"]))
        unseen = len(facts(result.by_name()[f"{side}_unseen"]))
        expected = (trained + unseen) * fraction
        assert unseen == 0 if fraction == 0 else unseen == 1 or expected - 1 <= unseen <= expected + 1e-6


@settings(max_examples=50)
@given(sources(), st.floats(0.05, 0.9), st.integers(1, 20))
def test_a_maximum_keeps_the_ratio(items: list[Item], fraction: float, most: int) -> None:
    result = split(items, fraction=fraction, most=most)
    for side in ("forget", "retain"):
        trained = len(facts(result.by_name()[f"{side}_train"]))
        unseen = len(facts(result.by_name()[f"{side}_unseen"]))
        assert unseen == 1 or 1 < unseen <= fraction / (1 - fraction) * trained + 1e-6


@settings(max_examples=25)
@given(sources(), st.integers(0, 5), st.randoms(use_true_random=False))
def test_same_whatever_the_order_and_the_global_state(items: list[Item], seed: int, rng: random.Random) -> None:
    first = split(items, seed)
    random.seed(rng.random())
    state = random.getstate()
    shuffled = rng.sample(items, len(items))
    assert split(items, seed) == first
    assert {name: set(members) for name, members in split(shuffled, seed).by_name().items()} == {
        name: set(members) for name, members in first.by_name().items()
    }
    assert random.getstate() == state


def test_another_seed_gives_another_split() -> None:
    items = sized(50, 50)
    assert split(items, seed=1).forget_train != split(items, seed=2).forget_train


@pytest.mark.parametrize("most", [None, 40])
def test_growth_moves_no_more_than_what_was_added(most: int | None) -> None:
    items = sized(100, 100)
    grown = [*items, *(item(1000 + number, "Surgery") for number in range(5))]
    before, after = split(items, most=most), split(grown, most=most)
    assert len(facts(before.forget_train) - facts(after.forget_train)) <= 5
    assert len(facts(before.forget_unseen) - facts(after.forget_unseen)) <= 5
    assert after.retain_train == before.retain_train
    assert most is None or not facts(before.forget_train) & facts(after.forget_unseen)


@pytest.mark.parametrize("most", [None, 30])
def test_each_subject_keeps_its_share(most: int | None) -> None:
    sizes = {"Anatomy": 60, "Dental": 33, "Skin": 7}
    retain = [subject for subject, size in sizes.items() for _ in range(size)]
    items = [item(number, subject) for number, subject in enumerate(retain + ["Surgery"] * 10)]
    result = split(items, fraction=0.2, most=most)
    for members in (result.retain_train, result.retain_unseen):
        counts = Counter(entry.subject for entry in members)
        for subject, size in sizes.items():
            assert abs(counts[subject] - len(members) * size / 100) <= 1


def test_a_fact_with_one_forget_item_is_a_forget_fact() -> None:
    items = [*sized(4, 4), replace(item(0, "Anatomy"), id="other")]
    assert "other" in {entry.id for entry in split(items).forget_train + split(items).forget_unseen}


def test_facts_that_only_have_heldout_phrasings_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    result = split([*sized(4, 4), item(99, "Surgery", heldout=True)])
    assert "f99" not in {fact for members in result.by_name().values() for fact in facts(members)}
    assert "left out 1 facts" in caplog.text


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 5), "no forget items among 5 facts"),
        ((5, 0), "no retain items among 5 facts"),
        ((1, 5), "the forget set has 1 fact; at least 2"),
        ((5, 1), "the retain set has 1 fact; at least 2"),
    ],
)
def test_groups_too_small(sizes: tuple[int, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        split(sized(*sizes))


def test_one_fact_is_enough_when_nothing_stays_unseen() -> None:
    assert len(split(sized(1, 1), fraction=0.0).forget_train) == 1


@pytest.mark.parametrize(("fraction", "most"), [(1.0, None), (-0.1, None), (0.2, 0)])
def test_settings_out_of_range(fraction: float, most: int | None) -> None:
    with pytest.raises(ConfigError, match="allowed"):
        split(sized(5, 5), fraction=fraction, most=most)


def labelled() -> Splits:
    """Return two facts in each of the four groups; the trained ones have a held-out phrasing."""
    groups = [("Surgery", 0), ("Surgery", 2), ("Anatomy", 4), ("Anatomy", 6)]
    train = [tuple(item(first + step, subject) for step in (0, 1)) for subject, first in groups]
    held = [tuple(replace(entry, id=f"{entry.id}-held", heldout=True) for entry in members) for members in train]
    return Splits(train[0], held[0], train[1], train[2], held[2], train[3])


def pair(group_a: str, id_a: str, group_b: str, id_b: str) -> Duplicate:
    return Duplicate(group_a, id_a, group_b, id_b, 0.9, False)


@pytest.mark.parametrize(
    ("duplicate", "gone"),
    [
        (pair("forget_train", "f0", "retain_train", "f4"), {"f4", "f4-held"}),
        (pair("retain_train", "f4", "forget_train", "f0"), {"f4", "f4-held"}),
        (pair("forget_heldout", "f0-held", "retain_train", "f4"), {"f4", "f4-held"}),
        (pair("forget_train", "f0", "retain_heldout", "f4-held"), {"f4", "f4-held"}),
        (pair("forget_train", "f0", "forget_heldout", "f1-held"), {"f1-held"}),
        (pair("retain_train", "f4", "retain_heldout", "f5-held"), {"f5-held"}),
        (pair("forget_train", "f0", "forget_unseen", "f2"), {"f2"}),
        (pair("forget_unseen", "f2", "retain_train", "f4"), {"f2"}),
        (pair("forget_unseen", "f2", "retain_unseen", "f6"), {"f6"}),
    ],
)
def test_leaking_duplicates_are_removed(duplicate: Duplicate, gone: set[str]) -> None:
    before = labelled()
    after = drop_duplicates(before, [duplicate])
    remaining = {entry.id for members in after.by_name().values() for entry in members}
    assert {entry.id for members in before.by_name().values() for entry in members} - remaining == gone
    assert after.forget_train == before.forget_train


def test_a_pair_whose_winner_is_gone_removes_nothing() -> None:
    pairs = [pair("retain_train", "f4", "forget_unseen", "f2"), pair("forget_train", "f0", "retain_train", "f4")]
    assert drop_duplicates(labelled(), pairs) == drop_duplicates(labelled(), pairs[1:])
    assert drop_duplicates(labelled(), pairs).forget_unseen == labelled().forget_unseen


def test_emptied_split() -> None:
    pairs = [pair("forget_train", "f0", "retain_unseen", name) for name in ("f6", "f7")]
    with pytest.raises(DataError, match="all 2 items of retain_unseen"):
        drop_duplicates(labelled(), pairs)
