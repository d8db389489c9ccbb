"""Taught facts are never scored, draws are seeded, and facts stay whole."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.audits.robustness.material import Material, facts_of, lessons, whole_facts
from duolearn_cli.data.splits import Splits
from tests.audits.robustness.stand_in import item


def splits(num_forget, num_retain, phrasings=2):
    def side(name, count, heldout):
        return tuple(
            item(f"{name}{fact}-{place}{'h' * heldout}", f"{name}{fact}", heldout=heldout)
            for fact in range(count)
            for place in range(phrasings)
        )

    forget, retain = (
        (side(name, count, False), side(name, count, True), ())
        for name, count in (("f", num_forget), ("r", num_retain))
    )
    return Splits(*forget, *retain)


@given(
    st.integers(2, 40), st.integers(2, 40), st.lists(st.sampled_from([0.05, 0.1, 0.2, 0.9]), min_size=1, unique=True)
)
def test_lessons_grow_and_leave_facts_to_ask(num_forget, num_retain, shares):
    data = splits(num_forget, num_retain)
    drawn = lessons(data, shares, seed=3)
    assert drawn and drawn == lessons(data, list(reversed(shares)), seed=3)
    largest: dict[str, set[str]] = {"forget": set(), "retain": set()}
    for lesson in drawn:
        taught = {one.id for one in lesson.items}
        assert largest[lesson.material] <= taught, "larger shares add to smaller ones"
        largest[lesson.material] = taught
        assert {one.fact_id for one in lesson.items} <= lesson.facts
        assert not any(one.heldout for one in lesson.items)
        if lesson.material == "forget":
            assert len(facts_of(lesson.items)) == min(max(1, round(lesson.share * num_forget)), num_forget - 1)
    for side, items in (("forget", data.forget_train), ("retain", data.retain_train)):
        assert set(facts_of(items)) - drawn[0].facts, f"no {side} fact is left"
    for taught, control in zip(drawn[::2], drawn[1::2], strict=True):
        assert (taught.material, control.material, taught.share) == ("forget", "retain", control.share)
        assert len(control.items) == min(len(taught.items), 2 * (num_retain - 1))


def test_a_control_never_repeats():
    """When retain facts run out, larger lessons share the same control."""
    assert [len(one.items) for one in lessons(splits(40, 3), [0.5, 0.9], 0)] == [40, 4, 72, 4]


def test_lessons_depend_on_the_seed_alone():
    state = random.getstate()
    one, other = (lessons(splits(30, 30), [0.2], seed) for seed in (0, 1))
    assert one[0].items != other[0].items and one[1].items != other[1].items
    assert random.getstate() == state
    data = splits(30, 30)
    reversed_order = Splits(**{name: items[::-1] for name, items in data.by_name().items()})
    assert lessons(reversed_order, [0.2], 0)[0].facts == one[0].facts


def test_one_fact_cannot_be_taught():
    assert lessons(splits(1, 5), [0.5], 0) == []


@pytest.mark.parametrize(("limit", "count"), [(None, 40), (40, 40), (39, 36), (7, 4), (4, 4), (2, 4)])
def test_facts_stay_whole(limit, count):
    material = Material.of(splits(10, 10), limit, seed=0)
    assert len(material.forget) == len(material.retain) == count
    for fact in facts_of(material.forget):
        assert sum(one.fact_id == fact for one in material.forget) == 4
    assert [one.fact_id[1:] for one in material.forget] != [one.fact_id[1:] for one in material.retain] or count == 40


def test_sides_and_phrasings():
    material = Material.of(splits(3, 2), None, 0)
    assert len(material.side("forget")) == 12
    for phrasings, heldout in (("trained", False), ("heldout", True)):
        items = material.side("retain", phrasings)
        assert len(items) == 4 and all(one.heldout == heldout for one in items)


def test_a_sample_keeps_the_order_of_the_items():
    items = [item(str(number)) for number in range(20)]
    chosen = whole_facts(items, 5, "seed")
    assert len(chosen) == 5 and list(chosen) == [one for one in items if one in chosen]
