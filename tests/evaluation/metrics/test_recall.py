"""ROUGE, against values by hand and a brute-force subsequence; degenerate texts, against legitimate ones."""

import math
import zlib
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.data.readers.minimed import facts
from duolearn_cli.evaluation.metrics.recall import (
    compression_ratio,
    degenerate,
    rouge_l_f1,
    rouge_l_recall,
)

ALL = (rouge_l_recall, rouge_l_f1)
words = st.lists(st.sampled_from("abc"), max_size=6)


def longest_common(one, other):
    """The length of the longest common subsequence, by trying every subsequence."""
    for size in range(min(len(one), len(other)), 0, -1):
        if set(combinations(one, size)) & set(combinations(other, size)):
            return size
    return 0


@pytest.mark.parametrize(
    ("generated", "answer", "l_recall", "l_f1"),
    [
        ("femoral hernia", "femoral hernia", 1, 1),
        ("Femoral HERNIA.", "femoral hernia", 1, 1),
        ("hernia femoral", "femoral hernia", 1 / 2, 1 / 2),
        ("it is a femoral hernia", "femoral hernia", 1, 2 * 0.4 / 1.4),
        ("femoral", "femoral hernia", 1 / 2, 2 * 0.5 / 1.5),
        ("inguinal ligament", "femoral hernia", 0, 0),
        ("", "femoral hernia", 0, 0),
        ("... !", "femoral hernia", 0, 0),
        ("hernia", "hernia", 1, 1),
        ("hernias", "hernia", 0, 0),
        ("the the the the", "the the", 1, 2 * 0.5 / 1.5),
        ("the", "the the the the", 1 / 4, 2 * 0.25 / 1.25),
        ("beta-blocker", "β-blocker", 1, 2 * 0.5 / 1.5),
    ],
)
def test_values_by_hand(generated, answer, l_recall, l_f1):
    values = [figure(generated, answer) for figure in ALL]
    assert values == pytest.approx([l_recall, l_f1])
    assert all(type(value) is float for value in values)


@given(words, words.filter(bool))
def test_rouge_l_is_the_longest_common_subsequence(generated, answer):
    common = longest_common(generated, answer)
    texts = " ".join(generated), " ".join(answer)
    assert rouge_l_recall(*texts) == pytest.approx(common / len(answer))
    assert rouge_l_f1(*texts) == pytest.approx(2 * common / (len(answer) + len(generated)))


@given(words, words.filter(bool), words)
def test_more_words_after_the_answer_do_not_lower_recall(generated, answer, more):
    before, after = " ".join(generated), " ".join([*generated, *more])
    assert rouge_l_recall(after, " ".join(answer)) >= rouge_l_recall(before, " ".join(answer))


@pytest.mark.parametrize("answer", ["", " ", "β", "?"])
def test_for_an_answer_without_words_rouge_is_undefined(answer):
    assert all(math.isnan(figure("anything", answer)) for figure in ALL)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "...",
        "\ufffd\ufffd",
        "the " * 16,
        "femoral " * 8,
        "of" * 20,
        "a" * 40,
        "1" * 40,
        "the hernia of " * 8,
        "A\nB\n" * 12,
        "疝" * 16,
        "It is a femoral hernia. " * 6,
    ],
)
def test_degenerate_texts(text):
    assert degenerate(text)


@pytest.mark.parametrize(
    "text",
    [
        "A",
        "no",
        "ACTH",
        "30\u201340%",
        "-1",
        "β",
        "股疝",
        "New York, New York",
        "the the the",
        "knock, knock, knock",
        "type 1 or type 2 or type 3",
        "A femoral hernia passes below the inguinal ligament, while an inguinal hernia passes above it; both may hold "
        "bowel, and either may be strangulated, but the femoral one is strangulated far more often because the ring "
        "that it passes through is narrow and has a sharp edge.",
    ],
)
def test_legitimate_texts(text):
    assert not degenerate(text)


def test_no_embedded_answer_is_taken_for_degenerate():
    embedded = {option for fact in facts() for option in (fact.y, *fact.wrong)} | {fact.statement for fact in facts()}
    assert len(embedded) > 1000
    assert not [text for text in embedded if degenerate(text)]


@given(st.text(max_size=26).filter(lambda text: len(text.encode()) < 27 and any(map(str.isalnum, text.strip()))))
def test_no_short_text_is_repetitive(text):
    assert not degenerate(text)


def test_the_shortest_text_that_can_fail():
    # The most compressible text of a length repeats one letter.
    assert not degenerate("a" * 26) and degenerate("a" * 27)


def test_the_ratio_is_that_of_whisper():
    text = "Noch einmal, und noch einmal: größer."
    assert compression_ratio(text) == len(text.encode()) / len(zlib.compress(text.encode()))
    assert compression_ratio("") == 0
