"""Validation and test facts: disjoint, complete, of every split, phrasings together, stable."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.data.validation_part import TOGETHER, part_of


@pytest.fixture(scope="module")
def splits(study):
    return study.splits


def facts(splits, name):
    return {item.fact_id for item in getattr(splits, name)}


@pytest.mark.parametrize("fraction", [0.05, 0.25, 0.5, 0.9])
def test_the_parts_share_no_fact_and_are_everything(splits, fraction):
    validation, test = (part_of(splits, part, fraction, 0) for part in ("validation", "test"))
    for names in TOGETHER:
        ours = set().union(*(facts(validation, name) for name in names))
        theirs = set().union(*(facts(test, name) for name in names))
        whole = set().union(*(facts(splits, name) for name in names))
        assert not ours & theirs and ours | theirs == whole
        assert ours and theirs
        for name in names:
            assert len(getattr(validation, name)) + len(getattr(test, name)) == len(getattr(splits, name))


def test_items_keep_their_order(splits):
    test = part_of(splits, "test", 0.25, 0)
    kept = set(test.retain_train)
    assert test.retain_train == tuple(item for item in splits.retain_train if item in kept)


def test_all_is_what_was_given(splits):
    assert part_of(splits, "all", 0.25, 0) is splits


@given(st.integers(0, 10_000))
def test_the_share_of_validation_facts_is_what_was_asked_for(splits, seed):
    found = part_of(splits, "validation", 0.25, seed)
    assert len(facts(found, "forget_train")) == 2 and len(facts(found, "retain_train")) == 3


def test_the_seed_decides(splits):
    found = {frozenset(facts(part_of(splits, "validation", 0.25, seed), "retain_train")) for seed in range(8)}
    assert len(found) > 1
    assert part_of(splits, "test", 0.25, 3) == part_of(splits, "test", 0.25, 3)


def test_of_one_fact_there_is_no_validation_part(splits):
    one = replace(splits, forget_train=splits.forget_train[:1], forget_heldout=())
    assert part_of(one, "validation", 0.25, 0).forget_train == ()
    assert part_of(one, "test", 0.25, 0).forget_train == one.forget_train
