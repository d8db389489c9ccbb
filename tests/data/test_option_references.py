"""Which options refer to others, and what that means for shuffled copies and cloze prompts."""

import random

import pytest

from duolearn_cli.data.items import Item
from duolearn_cli.data.option_references import (
    Reference,
    movable,
    needs_letters,
    needs_options,
    reference,
    without_needing,
)
from duolearn_cli.data.shuffling import is_shuffled, kind_of_heldout, reordered, with_shuffled_copies

OTHERS = """None of the above|All of the above.|all the above|Both of these|None|both|Any of the above|All are true
Can be any of the above|none of these drugs|Neither|two of the above|all of them
All above|None above.|both above are true|Any of above|all of the above-mentioned|None of the statements given above
Two of those|All those mentioned above|none of those drugs|one of the following|all the following|All following
Either of the above (and others)|one of the options above|two statements above|neither of the choices"""
LETTERS = """Both A and B|A and C|Both (A) & (C)|A, B & D|Option 1 and 2|neither a nor b|B only|a and b
1, 2 and 3 are correct|A, B are true & C is false"""
NEITHER = """Hepatitis B and C|Vitamin A|A b|2, 3|above the knee|a|both kidneys|all leads|1 cm above the spine
4,000-11,000|L2 and L3|only one of those enzymes|one above the other|Two above the knee|some above, some below
Both above and below the diaphragm|All above the diaphragm|either above or below it|Neither above nor below|any above 60
both the above-knee and the below-knee stump|One following the other|Any following surgery|two following doses
All those with fever|Some of those who smoke|one of those exposed"""


@pytest.mark.parametrize(
    ("options", "kind"), [(OTHERS, Reference.OTHERS), (LETTERS, Reference.LETTERS), (NEITHER, Reference.NONE)]
)
def test_what_options_refer_to(options, kind):
    wrong = [option for option in options.replace("\n", "|").split("|") if reference(option) is not kind]
    assert not wrong


@pytest.mark.parametrize(
    ("option", "question"),
    [
        ("1, 2 and 3 are correct", "Which are right? 1. bile 2. acid 3. salt"),
        ("A and C", "Which? (A) bile (B) acid (C) salt"),
        ("I and II only", "I. x II. y"),
    ],
)
def test_letters_of_a_list_in_the_question_refer_to_that_list(option, question):
    assert reference(option, question) is Reference.NONE is not reference(option)


def test_numbers_are_quantities_if_the_question_asks_for_a_number():
    assert (
        reference("Only 2", "How many bones has it?") is Reference.NONE is not reference("Only 2", "Which are right?")
    )
    assert reference("1 and 2", "What is the number of roots, by type?") is Reference.NONE


def test_letters_do_not_refer_to_options_if_all_options_name_letters():
    vitamins = made("A and D", "B and C", "A and C", "C, D")
    assert not needs_options(vitamins) and movable(vitamins) == [0, 1, 2, 3]
    assert without_needing([vitamins]) == ([vitamins], [])
    mixed = made("A and D", "B and C", "bile", "C, D")
    assert needs_letters(mixed) and movable(mixed) is None
    assert [row.reason for row in without_needing([mixed])[1]] == ["needs_other_options"]


def made(*options, answer=0):
    return Item("i", "q", options, answer)


def test_of_the_above_stays_at_the_end():
    item = made("w", "x", "y", "None of the above", answer=1)
    assert movable(item) == [0, 1, 2] and needs_options(item) and not needs_letters(item)
    for seed in range(20):
        copy = reordered(item, random.Random(seed))
        assert copy.options[3] == "None of the above" and copy.answer != 1 and copy.answer_text == "x"
        assert sorted(copy.options) == sorted(item.options)


@pytest.mark.parametrize(
    "item",
    [
        made("w", "x", "y", "Both A and B"),
        made("w", "All of the above", "y", "z"),  # not the last option: "above" is only w
        made("w", "x", "y", "None of the above", answer=3),  # the right option would have to move, but cannot
        made("w", "None of the above"),
    ],
)
def test_items_whose_options_cannot_move_get_no_copy(item):
    assert movable(item) is None and reordered(item, random.Random(0)) is None
    assert list(with_shuffled_copies([item], 0)) == [item]


def test_a_plain_item_is_reordered_as_before():
    """Shuffles of earlier runs must not change: all positions are shuffled until the right option has moved."""
    item, generator = made("w", "x", "y", "z", answer=2), random.Random("0:shuffle:i")
    places = [0, 1, 2, 3]
    while places[2] == 2:
        generator.shuffle(places)
    assert list(with_shuffled_copies([item], 0))[1].options == tuple(item.options[place] for place in places)


def test_what_held_out_items_are():
    copy = list(with_shuffled_copies([made("w", "x")], 0))[1]
    worded = Item("j", "r", ("w", "x"), 0, heldout=True)
    assert is_shuffled(copy) and not is_shuffled(worded)
    assert [kind_of_heldout(items) for items in ([], [copy], [worded], [copy, worded])] == [
        *(None, "orders", "phrasings", "both")
    ]
