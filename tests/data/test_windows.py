"""Windows: own parts tile the text, no span is divided, none is too long, and nothing is cut silently."""

from __future__ import annotations

import random
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.data.documents import Document, Span, Window
from duolearn_cli.data.windows import sentence_starts, windows
from duolearn_cli.errors import DataError

TEXT = "One two three. Four five six seven.\nEight nine. Ten eleven twelve thirteen fourteen."


def words(text: str) -> int:
    return len(text.split())


def pieces(text: str) -> int:
    """A tokenizer in small: up to four letters a token, marks and line breaks for themselves."""
    return len(re.findall(r"[^\W\d_]{1,4}|\d|[^\w\s]|\n", text))


def shown(cut: tuple[Window, ...]) -> list[tuple[str, str]]:
    return [(one.document.text[one.start : one.own], one.document.text[one.own : one.end]) for one in cut]


def check(document: Document, cut: tuple[Window, ...], length: int, overlap: int, count: object = words) -> None:
    """Everything that `windows` promises."""
    assert callable(count)
    assert cut[0].own == cut[0].start == 0 and cut[-1].end == len(document.text)
    assert all(first.end == second.own for first, second in pairwise(cut))
    for one in cut:
        assert one.start <= one.own < one.end and count(one.text) <= length
        assert one.start == one.own or count(document.text[one.start : one.own]) <= overlap
        for place in (one.start, one.own, one.end):
            before, after = document.text[:place], document.text[place:]
            assert not before or not after or before[-1].isspace() or after[0].isspace()
    for span in document.spans:
        assert sum(one.own <= span.start and span.end <= one.end for one in cut) == 1
        inside = [one.start for one in cut if span.start < one.start < span.end]
        assert not any(document.text[span.start : place].strip() for place in inside)


def test_a_short_text_is_one_window() -> None:
    document = Document("d", TEXT)
    assert windows(document, 14, 3, words) == (Window(document, 0, 0, len(TEXT)),)


def test_windows_end_with_sentences_and_begin_with_them() -> None:
    document = Document("d", TEXT)
    assert shown(windows(document, 8, 0, words)) == [
        ("", "One two three. Four five six seven."),
        ("", "\nEight nine. Ten eleven twelve thirteen fourteen."),
    ]
    assert shown(windows(document, 8, 4, words))[1] == ("Four five six seven.", "\nEight nine.")
    # No sentence begins within two tokens, so the context begins with a word.
    assert shown(windows(document, 7, 2, words))[1] == ("six seven.", "\nEight nine. Ten eleven twelve")


def test_context_gives_way_to_a_long_span() -> None:
    span = Span(TEXT.index("Ten"), TEXT.index(" fourteen"))
    document = Document("d", TEXT, spans=(span,))
    cut = windows(document, 5, 4, words)
    check(document, cut, 5, 4)
    assert any(document.text[one.own : one.end].strip() == "Ten eleven twelve thirteen" for one in cut)


def test_a_word_or_span_longer_than_a_window_is_an_error_that_names_document_and_place() -> None:
    text = "Short words and " + "a" * 50 + " more."
    with pytest.raises(DataError, match=r"document d7: .* at character 16 has 13 tokens .* a window has 12"):
        windows(Document("d7", text), 12, 2, pieces)
    with pytest.raises(DataError, match=r"document d: .* at character 15 has 4 tokens"):
        windows(Document("d", TEXT, spans=(Span(15, 35),)), 3, 0, words)


@pytest.mark.parametrize(("length", "overlap"), [(4, 4), (4, -1), (1, 1)])
def test_impossible_overlaps(length: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="is possible with windows of"):
        windows(Document("d", TEXT), length, overlap, words)


def test_texts_without_spaces_are_cut_between_characters() -> None:
    document = Document("d", "患者は喘息です。毎晩薬を飲みます。" * 5)
    cut = windows(document, 12, 3, len)
    assert "".join(document.text[one.own : one.end] for one in cut) == document.text
    assert all(len(one.text) <= 12 for one in cut) and len(cut) > 7


@pytest.mark.parametrize("seed", range(40))
def test_random_notes(seed: int) -> None:
    draw = random.Random(seed)
    parts = [
        draw.choice(["a", "of", "asthma", "appendectomy", "5.0", "mg", "well.", "so,", "(no)", "\n", "\n\n", "x? "])
    ]
    parts += draw.choices(["a", "of", "asthma", "hernia", "5.0", "mg", "well.", "so,", "(no)", "\n", "\n\n"], k=90)
    text = draw.choice(["", " "]) + " ".join(parts)
    marks = sorted(draw.sample(range(len(text)), 12))
    spans = tuple(Span(low, min(high, low + 9)) for low, high in zip(marks[::2], marks[1::2], strict=True))
    document = Document("d", text, spans=spans)
    for count, length in ((words, draw.randint(8, 30)), (pieces, draw.randint(16, 60))):
        overlap = draw.randint(0, length - 1)
        check(document, windows(document, length, overlap, count), length, overlap, count)


@given(st.text(alphabet="ab .\n!", max_size=120), st.integers(2, 12), st.integers(0, 11))
def test_any_text_is_tiled(text: str, length: int, overlap: int) -> None:
    document = Document("d", text)
    overlap = min(overlap, length - 1)
    if not text:
        assert windows(document, length, overlap, words) == (Window(document, 0, 0, 0),)
        return
    check(document, windows(document, length, overlap, words), length, overlap)


@given(st.text(alphabet="ab .\n!?\u201d", max_size=60))
def test_sentences_begin_where_one_has_ended(text: str) -> None:
    starts = sentence_starts(text)
    assert starts == sorted(set(starts))
    for place in starts:
        assert not text[place].isspace()
        before = text[:place]
        assert not before.strip() or re.search(r"([.!?][\u201d]*|\n)\s*$", before) or before[-1] == "\n"


def test_sentence_starts() -> None:
    text = 'He said "No." Then\nLine two\n\n- item. 5.0 mg'
    assert [text[place:][:4] for place in sentence_starts(text)] == ["He s", "Then", "Line", "- it", "5.0 "]
