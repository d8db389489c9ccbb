"""Token classes on a text whose tokens are known."""

from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.concepts.hierarchy import Concept, Hierarchy, Target
from duolearn_cli.concepts.matcher import Mention
from duolearn_cli.concepts.token_classes import NEUTRAL, PRESERVE, UNLEARN, classify, level_weights

TARGET = Target("surgery", frozenset({"hernia"}), frozenset({"pain"}), frozenset(), frozenset({"Surgery"}))
OFFSETS = [(0, 3), (3, 10), (10, 15), (15, 18), (18, 18)]
MENTIONS = [Mention(4, 10, "hernia"), Mention(11, 15, "pain")]
ANSWER = [False, False, False, True, True]


def test_forget_item():
    kinds, concepts = classify(OFFSETS, ANSWER, True, MENTIONS, TARGET)
    # The last token is the end of the text, which is no knowledge.
    assert kinds == [NEUTRAL, UNLEARN, PRESERVE, UNLEARN, NEUTRAL]
    assert concepts == [None, "hernia", "pain", None, None]


def test_retain_item_keeps_its_answer_but_not_target_mentions():
    kinds, _ = classify(OFFSETS, ANSWER, False, MENTIONS, TARGET)
    assert kinds == [NEUTRAL, UNLEARN, PRESERVE, PRESERVE, PRESERVE]


def test_level_weights():
    hierarchy = Hierarchy([Concept("pain", 2, "pain"), Concept("hernia", 4, "hernia")])
    assert level_weights([None, "pain", "hernia"], hierarchy, [1, 2, 3, 4]) == [1, 2, 4]


@given(st.lists(st.integers(1, 4), max_size=12), st.data())
def test_every_marked_token_overlaps_its_mention(widths, data):
    offsets, start = [], 0
    for width in widths:
        offsets.append((start, start + width))
        start += width
    bounds = sorted(data.draw(st.sets(st.integers(0, start), max_size=6)))
    mentions = [Mention(a, b, "hernia") for a, b in zip(bounds[::2], bounds[1::2], strict=False)]
    kinds, concepts = classify(offsets, [False] * len(offsets), True, mentions, TARGET)
    for (low, high), kind, concept in zip(offsets, kinds, concepts, strict=True):
        overlaps = any(m.start < high and low < m.end for m in mentions)
        assert (kind == UNLEARN) == overlaps == (concept is not None)
