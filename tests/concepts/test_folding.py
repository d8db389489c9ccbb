"""Folding: which texts become equal, which stay different, and where each folded character comes from."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.concepts.folding import fold, fold_mapped, is_word

ODD = (
    "aBée\u0301\ufb01ßİ\u0131\u0149½Æœ\U0001d41a\U00010400\uac01 \t\n\u00a0-\u2013_/'\u2019`(."
    "\u00ad\u200b\u200d\ufe0f\ufeff\ud800"
)
texts = st.text(st.one_of(st.sampled_from(ODD), st.characters()), max_size=12)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ménière", "MENIERE"),
        ("Me\u0301nie\u0300re", "meniere"),
        ("Sjögren, Sjøgren", "sjogren, sjogren"),
        ("œdema cæcum \ufb01bre", "oedema caecum fibre"),
        ("Straße \u0130n", "STRASSE in"),
        ("X-ray X\u2013ray X_ray X/ray", "x ray x ray x ray x ray"),
        ("Murphy\u2019s", "murphy's"),
        ("her\u00adnia \u200dpain", "hernia pain"),
        ("inguinal\n  hernia", "inguinal hernia"),
        ("X- ray, X -ray", "x ray, x ray"),
        ("\uff26\uff45\uff56\uff45\uff52", "fever"),
    ],
)
def test_folded_alike(one, other):
    assert fold(one) == fold(other) == other.lower()


@pytest.mark.parametrize(
    ("one", "other"),
    [("carcinoma - breast", "carcinoma breast"), ("a -- b", "a b"), ("Tylenol\u2122", "tylenoltm"), ("ab", "a b")],
)
def test_folded_differently(one, other):
    assert fold(one) != fold(other)


@given(texts)
def test_composed_and_decomposed_fold_alike(text):
    assert fold(text) == fold(unicodedata.normalize("NFD", text)) == fold(unicodedata.normalize("NFC", text))


@given(texts)
def test_case_does_not_matter(text):
    assert fold(text) == fold(text.casefold())


@given(st.text(st.characters(max_codepoint=127)), st.sampled_from(["\u00e9", "\u00ad"]))
def test_the_fast_path_for_ascii_equals_the_general_one(text, odd):
    general = fold_mapped(f"{text}.{odd}")
    quick = fold_mapped(f"{text}.")
    assert general.text.removesuffix("e") == quick.text
    assert list(general.origins[: len(quick.text)]) == list(quick.origins[:-1])


@given(texts)
def test_every_folded_character_comes_from_its_origin(text):
    folded = fold_mapped(text)
    assert len(folded.origins) == len(folded.text) + 1 and folded.origins[-1] == len(text)
    assert list(folded.origins) == sorted(folded.origins)
    for start in sorted(set(folded.origins[:-1])):
        made = "".join(char for char, origin in zip(folded.text, folded.origins, strict=False) if origin == start)
        end = next(origin for origin in folded.origins if origin > start)
        assert fold(text[start:end]) == made or made in " -"
        # Everything before the first folded character was dropped.
    assert not fold(text[: folded.origins[0]])


@given(texts)
def test_borders_are_the_word_borders_of_the_source(text):
    folded = fold_mapped(text)
    for place in range(1, len(folded.text)):
        before, after = folded.origins[place - 1], folded.origins[place]
        whole = before < after and not (is_word(text[before]) and is_word(text[after]))
        assert folded.is_border(place) == whole
    assert folded.is_border(0) and folded.is_border(len(folded.text))
