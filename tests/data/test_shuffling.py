"""Shuffled copies keep the question and move the right option."""

from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.data.items import Item
from duolearn_cli.data.shuffling import with_shuffled_copies


@given(st.integers(2, 6), st.data(), st.integers(0, 3))
def test_a_copy_has_the_same_options_and_the_right_one_elsewhere(size, data, seed):
    item = Item("i", "q", tuple("abcdef"[:size]), data.draw(st.integers(0, size - 1)))
    original, copy = with_shuffled_copies([item], seed)
    assert original is item
    assert copy.answer_text == item.answer_text and copy.answer != item.answer
    assert sorted(copy.options) == sorted(item.options)
    assert copy.heldout and copy.fact_id == item.fact_id
    assert list(with_shuffled_copies([item], seed))[1] == copy


def test_facts_with_heldout_phrasings_get_none():
    items = [Item("a", "q", ("x", "y"), 0, fact="f"), Item("b", "r", ("x", "y"), 0, fact="f", heldout=True)]
    assert list(with_shuffled_copies(items, 0)) == items
