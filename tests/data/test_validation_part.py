"""Validation and test facts: disjoint, complete, from every split, with all phrasings together, and stable."""

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
    chosen = set(test.retain_train)
    assert test.retain_train == tuple(item for item in splits.retain_train if item in chosen)


def test_all_returns_the_splits_unchanged(splits):
    assert part_of(splits, "all", 0.25, 0) is splits


@given(st.integers(0, 10_000))
def test_validation_has_the_configured_share_of_facts(splits, seed):
    part = part_of(splits, "validation", 0.25, seed)
    assert len(facts(part, "forget_train")) == 2 and len(facts(part, "retain_train")) == 3


def test_the_seed_decides(splits):
    choices = {frozenset(facts(part_of(splits, "validation", 0.25, seed), "retain_train")) for seed in range(8)}
    assert len(choices) > 1
    assert part_of(splits, "test", 0.25, 3) == part_of(splits, "test", 0.25, 3)


def test_a_single_fact_is_for_the_test(splits):
    one = replace(splits, forget_train=splits.forget_train[:1], forget_heldout=())
    assert part_of(one, "validation", 0.25, 0).forget_train == ()
    assert part_of(one, "test", 0.25, 0).forget_train == one.forget_train
