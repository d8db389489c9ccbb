"""The middle of a question is left out: whole words, little more than needed, and both ends remain."""

import re

from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.model.truncation import MIN_QUESTION, beginning, middle, tokens_outside


def tokens(text, size):
    """Return the characters of tokens of `size` characters, as byte-level tokenizers split: a space belongs to the word
    after it."""
    return [(start, min(start + size, len(text))) for start in range(0, len(text), size)]


@given(
    words=st.lists(st.text("abé", min_size=1, max_size=7), min_size=30, max_size=60),
    size=st.integers(1, 5),
    share=st.floats(0.01, 0.99),
)
def test_head_tail_and_whole_words_at_both_ends_remain(words, size, share):
    head, question, tail = "Question: ", " ".join(words), "\nAnswer: x"
    text, own = head + question + tail, (len(head), len(head + question))
    offsets = [(0, 0), *tokens(text, size)]
    inside = [span for span in offsets if own[0] <= span[0] < span[1] <= own[1]]
    excess = max(1, int(share * len(inside)))
    gap = middle(text, offsets, own, excess)
    if gap is None:
        assert len(inside) - excess < MIN_QUESTION
        return
    remaining = tokens_outside(offsets, gap)
    assert own[0] <= gap[0] < gap[1] <= own[1]
    assert excess <= len(offsets) - len(remaining) <= excess + len(inside) // 2 + 2
    lost = sorted(set(range(len(offsets))) - set(remaining))
    assert lost == list(range(lost[0], lost[-1] + 1)) and 0 not in lost
    before, after = (
        sum(a < b and part(a) for a, b in inside) for part in (lambda a: a < gap[0], lambda a: a >= gap[1])
    )
    assert before >= MIN_QUESTION // 4 and after >= MIN_QUESTION // 4


def test_words_stay_whole():
    text = "Question: hypo thyroid or hyper calcaemia or hypo kalaemia in that one?\nAnswer: x"
    offsets = [match.span() for match in re.finditer(r"\s?\S{1,3}", text)]
    gap = middle(text, offsets, (10, text.index("\n")), 6)
    remaining = "".join(text[a:b] for a, b in (offsets[i] for i in tokens_outside(offsets, gap)))
    assert set(remaining.split()) <= set(text.split())


def test_a_question_without_spaces_is_cut_between_characters():
    text = "問" * 40
    offsets = [(i, i + 1) for i in range(40) for _ in range(3)]
    gap = middle(text, offsets, (0, 40), 50)
    assert len(offsets) - len(tokens_outside(offsets, gap)) in (51, 52, 53, 54)


def test_nothing_is_cut_if_too_little_would_remain():
    text = "one two three four five six seven eight nine"
    offsets = tokens(text, 4)
    assert middle(text, offsets, (0, len(text)), len(offsets) - MIN_QUESTION + 1) is None
    assert middle(text, offsets, (0, len(text)), len(offsets) - MIN_QUESTION) is not None


@given(
    words=st.lists(st.text("abé", min_size=1, max_size=7), min_size=20, max_size=60),
    size=st.integers(1, 5),
    share=st.floats(0.01, 0.99),
)
def test_a_text_that_is_continued_loses_its_beginning(words, size, share):
    question = " ".join(words)
    text, own = f"{question} x", (0, len(question))
    offsets = tokens(text, size)
    inside = [span for span in offsets if span[1] <= own[1]]
    excess = max(1, int(share * len(inside)))
    gap = beginning(text, offsets, own, excess)
    if gap is None:
        assert len(inside) - excess < MIN_QUESTION
        return
    left = tokens_outside(offsets, gap)
    assert gap[0] == 0 and left == list(range(len(offsets) - len(left), len(offsets)))
    assert len(offsets) - len(left) >= excess and len(left) >= MIN_QUESTION
    first = offsets[left[0]][0]
    early = [start for start, _ in inside[excess : len(inside) - MIN_QUESTION + 1]]
    begins = [start for start in early if text[start] == " " or text[start - 1] == " "]
    assert first == (begins[0] if begins else offsets[excess][0])
