"""Token classes on a text whose tokens are known."""

import math
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.concepts.concept import Concept
from duolearn_cli.concepts.hierarchy import Hierarchy, Target
from duolearn_cli.concepts.matcher import Matcher, Mention
from duolearn_cli.concepts.token_classes import NEUTRAL, PRESERVE, UNLEARN, classify, level_weights

TARGET = Target("surgery", frozenset({"hernia"}), frozenset({"pain"}), frozenset(), frozenset({"Surgery"}))
TEXT = "An  hernia,pain  is"
HIERARCHY = Hierarchy([Concept(f"c{level}", level, f"c{level}") for level in (1, 2, 3, 4)])
OFFSETS = [(0, 3), (3, 10), (10, 15), (15, 18), (18, 18)]
MENTIONS = [Mention(4, 10, "hernia"), Mention(11, 15, "pain")]
ANSWER = [False, False, False, True, True]


def test_forget_item():
    kinds, concepts = classify(TEXT, OFFSETS, ANSWER, True, MENTIONS, TARGET)
    # The last token is the end of the text, which is not knowledge about the target.
    assert kinds == [NEUTRAL, UNLEARN, PRESERVE, UNLEARN, NEUTRAL]
    assert concepts == [None, "hernia", "pain", None, None]


def test_retain_item_preserves_its_answer_but_not_target_mentions():
    kinds, _ = classify(TEXT, OFFSETS, ANSWER, False, MENTIONS, TARGET)
    assert kinds == [NEUTRAL, UNLEARN, PRESERVE, PRESERVE, PRESERVE]


def test_level_weights():
    hierarchy = Hierarchy([Concept("pain", 2, "pain"), Concept("hernia", 4, "hernia")])
    assert level_weights([None, "pain", "hernia"], hierarchy, [1, 2, 3, 4]) == [1, 2, 4]


@given(st.lists(st.integers(1, 4), max_size=12), st.data())
def test_a_token_of_letters_is_marked_iff_it_lies_in_a_mention(widths, data):
    offsets, start = [], 0
    for width in widths:
        offsets.append((start, start + width))
        start += width
    bounds = sorted(data.draw(st.sets(st.integers(0, start), max_size=6)))
    mentions = [Mention(a, b, "hernia") for a, b in zip(bounds[::2], bounds[1::2], strict=False)]
    kinds, concepts = classify("x" * start, offsets, [False] * len(offsets), True, mentions, TARGET)
    for (low, high), kind, concept in zip(offsets, kinds, concepts, strict=True):
        inside = any(m.start <= low and high <= m.end for m in mentions)
        assert (kind == UNLEARN) == inside == (concept is not None)


@pytest.mark.parametrize(
    ("tokens", "marked"),
    [
        ([" fem", "oral", " hernia", " x"], [True, True, True, False]),
        (["(", "fem", "oral her", "nia)."], [False, True, True, True]),
        ([" May", "-", "Th", "urner s"], [True, True, True, True]),
        ([" hernia is", " a", " hernia,", " is"], [False, False, True, False]),
        (["\n", "femoral", "\n ", "hernia", "\n"], [False, True, True, True, False]),
        (["vitamin", " (C", ")her", "nia"], [True, True, True, True]),
        (["", "hernia", ""], [False, True, False]),
    ],
)
def test_tokens_belong_by_their_core(tokens, marked):
    text, ends = "".join(tokens), list(accumulate(map(len, tokens)))
    terms = ("hernia", "femoral hernia", "May-Thurner s", "vitamin (C)")
    mentions = Matcher(Hierarchy(Concept(term, 1, term) for term in terms)).find(text)
    offsets = list(pairwise([0, *ends]))
    _, concepts = classify(text, offsets, [False] * len(offsets), True, mentions, TARGET)
    assert [concept is not None for concept in concepts] == marked


@given(
    st.lists(st.sampled_from([None, *sorted(HIERARCHY.concepts)]), max_size=12),
    st.lists(st.floats(0, 1e6), min_size=4, max_size=4),
)
def test_weights_are_finite_and_not_negative(concepts, weights):
    token_weights = level_weights(concepts, HIERARCHY, weights)
    assert len(token_weights) == len(concepts)
    assert all(math.isfinite(weight) and weight >= 0 for weight in token_weights)
