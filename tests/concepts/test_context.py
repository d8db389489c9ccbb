"""Contexts: they are read and written, and empty ones are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.concepts.context import Context, split_context, unmarked

WORDS = st.text("abC -", min_size=1, max_size=6).map(str.split).filter(bool).map(" ".join)


@pytest.mark.parametrize(
    ("marked", "term", "context"),
    [
        ("PPV", "PPV", None),
        ("PPV{test}", "PPV", Context(("test",))),
        ("PPV {ventilat*, bag  mask,!eye}", "PPV", Context(("ventilat*", "bag mask"), ("eye",))),
        ("AIDS{=}", "AIDS", Context(cased=True)),
        ("MS{=,a,!b}", "MS", Context(("a",), ("b",), True)),
        ("{a}", "{a}", None),
        ("a{b}c", "a{b}c", None),
        ("a{{b}}", "a{{b}}", None),
    ],
)
def test_reading(marked, term, context):
    assert split_context(marked) == (term, context)


@pytest.mark.parametrize("marked", ["PPV{}", "PPV{ }", "PPV{a,,b}", "PPV{!}", "PPV{*}", "PPV{a,! }"])
def test_an_empty_context_is_refused(marked):
    with pytest.raises(ValueError, match="the braces need words"):
        split_context(marked)


@given(WORDS, st.lists(WORDS, max_size=3), st.lists(WORDS, max_size=3), st.booleans())
def test_what_is_written_is_read_back(term, words, unless, cased):
    context = Context(tuple(words), tuple(unless), cased)
    if words or unless or cased:
        assert split_context(f"{term}{context}") == (term, context)


@given(st.text("ab{}, =!"))
def test_an_unmarked_term_has_no_context(term):
    assert split_context(unmarked(term))[1] is None


@pytest.mark.parametrize(
    ("words", "text", "gap"),
    [
        (("tooth",), "rct of a tooth", 6),
        (("tumour",), "rct, tumors", 2),
        (("ventilat*",), "ventilated rct", 1),
        (("ventilat*",), "hyperventilated rct", None),
        (("ct",), "rct", None),
        (("x ray",), "x ray rct rct", 1),
    ],
)
def test_distance(words, text, gap):
    start = text.index("rct")
    assert Context(words).distance(text, start, start + 3) == gap
