"""Concept mentions: folding, whole words, longest match, exact offsets on any text."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.concepts.hierarchy import Concept, Hierarchy
from duolearn_cli.concepts.matcher import Matcher, fold

TERMS = {
    "hernia": ("hernia",),
    "femoral_hernia": ("femoral hernia",),
    "anaemia": ("anaemia",),
    "biopsy": ("biopsy",),
    "murphy": ("Murphy's sign",),
    "crohn": ("Crohn disease", "regional enteritis"),
    "x_ray": ("X-ray",),
    "oedema": ("oedema",),
    "diagnosis": ("diagnosis",),
}


@pytest.fixture(scope="module")
def matcher():
    return Matcher(Hierarchy(Concept(key, 1, names[0], synonyms=names[1:]) for key, names in TERMS.items()))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A femoral hernia, not a hernia.", {"femoral hernia": "femoral_hernia", "hernia": "hernia"}),
        ("Hernias and BIOPSIES", {"Hernias": "hernia", "BIOPSIES": "biopsy"}),
        ("anemia with edema", {"anemia": "anaemia", "edema": "oedema"}),
        ("Murphy\u2019s sign; x ray", {"Murphy\u2019s sign": "murphy", "x ray": "x_ray"}),
        ("Differential diagnoses", {"diagnoses": "diagnosis"}),
        ("Regional-enteritis", {"Regional-enteritis": "crohn"}),
        ("herniation, xhernia, hernia2", {}),
        ("", {}),
    ],
)
def test_mentions(matcher, text, found):
    assert {text[m.start : m.end]: m.concept for m in matcher.find(text)} == found


@given(st.text())
def test_folding_keeps_offsets(text):
    assert len(fold(text)) == len(text)


@given(
    st.lists(
        st.one_of(st.text(max_size=5), st.sampled_from(["hernia", "femoral hernia", " ", "-", "é", "İ"])), max_size=8
    )
)
def test_mentions_are_exact_ordered_whole_words(parts):
    matcher = _matcher()
    text = "".join(parts)
    mentions = matcher.find(text)
    for mention in mentions:
        assert fold(text[mention.start : mention.end]) in {"hernia", "hernias", "femoral hernia", "femoral hernias"}
        assert not text[mention.start - 1 : mention.start].isalnum()
        assert not text[mention.end : mention.end + 1].isalnum()
    for left, right in pairwise(mentions):
        assert left.end <= right.start


def _matcher(cache={}):  # noqa: B006
    if not cache:
        cache["m"] = Matcher(Hierarchy([Concept("h", 1, "hernia"), Concept("f", 1, "femoral hernia")]))
    return cache["m"]
