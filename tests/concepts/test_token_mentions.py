"""From mentions of characters to marked tokens: exact for every family of tokenizers and any text."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from duolearn_cli.concepts.concept import Concept
from duolearn_cli.concepts.folding import fold, is_word
from duolearn_cli.concepts.hierarchy import Hierarchy, Target
from duolearn_cli.concepts.matcher import Matcher
from duolearn_cli.concepts.token_classes import NEUTRAL, UNLEARN, classify
from tests.concepts.small_tokenizers import FAMILIES, tokenizer_of

TERMS = [
    "femoral hernia",
    "hernia",
    "Ménière disease",
    "May-Thurner syndrome",
    "X-ray",
    "œdema",
    "Straße",
    "5' end",
    "vitamin (C)",
]
SAID = [
    *("femoral\n hernia", "Hernias", "(femoral hernia)", "Me\u0301nie\u0300re's disease", "May\u2013Thurner syndrome"),
    *("x_ray", "oedema", "STRASSE", "her\u00adnia", "hernia\u0301", "non-hernia", "hernial", "5\u2019 end", "femoral"),
]
GLUE = " \n\t(-/'_.,:x1é\u0301\u00a0\u200d\ufb01ßİ\U0001d41a\U0001f600漢"
families = pytest.mark.parametrize("family", [make.__name__ for make in FAMILIES])


@st.composite
def vocabularies_and_texts(draw):
    words = st.text(st.characters(categories=["L", "M", "N", "P"]), min_size=1, max_size=5)
    named = words.filter(lambda word: any(map(str.isalnum, fold(word))))
    extra = draw(st.lists(named, max_size=2))
    terms = list({fold(term).strip(" -"): term for term in [*TERMS, *extra]}.values())
    glue = st.text(st.one_of(st.sampled_from(GLUE), st.characters(exclude_categories=["Cs"])), max_size=3)
    pieces = st.one_of(st.sampled_from(SAID), st.sampled_from(terms), glue, st.just(" "))
    return terms, "".join(draw(st.lists(pieces, max_size=8)))


def labelled(family, terms, text):
    """Return the mentions, the tokens' offsets and the concept of every token."""
    hierarchy = Hierarchy(Concept(str(number), 1, term) for number, term in enumerate(terms))
    mentions = Matcher(hierarchy).find(text)
    offsets = tokenizer_of(family).encode(text).offsets
    target = Target("all", frozenset(hierarchy.concepts), frozenset(), frozenset(), frozenset())
    kinds, concepts = classify(text, offsets, [False] * len(offsets), True, mentions, target)
    assert kinds == [NEUTRAL if concept is None else UNLEARN for concept in concepts]
    return mentions, offsets, concepts


def core(text, start, end):
    """Return the characters of a token that must lie in a mention: from its first to its last word character, or all
    but white space if it has none."""
    for counts in (is_word, lambda char: not char.isspace(), lambda char: True):
        places = [place for place in range(start, end) if counts(text[place])]
        if places:
            return places[0], places[-1] + 1
    return None


@families
@settings(max_examples=100)
@given(vocabularies_and_texts())
@example((TERMS, "(femoral hernia)s, Me\u0301nie\u0300re disease; May-Thurner\nsyndrome"))
@example((TERMS, "vitamin (C)hernia (hernia) (femoral hernia)"))
@example((TERMS, "  hernia\u0301\u0301 her\u00ad\u00adnia\u00ad \U0001d41dœdema"))
def test_a_token_is_marked_iff_its_core_lies_in_a_mention(family, case):
    terms, text = case
    mentions, offsets, concepts = labelled(family, terms, text)
    for (start, end), concept in zip(offsets, concepts, strict=True):
        bounds = core(text, start, end)
        holders = [m.concept for m in mentions if bounds and m.start <= bounds[0] and bounds[1] <= m.end]
        assert concept == (holders[0] if holders else None)


@families
@settings(max_examples=100)
@given(vocabularies_and_texts())
def test_marked_tokens_cross_no_word_border_and_leave_no_letter_out(family, case):
    terms, text = case
    mentions, offsets, concepts = labelled(family, terms, text)
    for mention in mentions:
        for place in range(mention.start, mention.end):
            if not text[place].isalnum():
                continue
            holding = [index for index, (start, end) in enumerate(offsets) if start <= place < end]
            assert holding, "a letter that no token covers"
            for index in holding:
                letters = [i for i in range(*offsets[index]) if is_word(text[i])]
                within = mention.start <= letters[0] and letters[-1] < mention.end
                assert concepts[index] == (mention.concept if within else None)
    inside = {place for mention in mentions for place in range(mention.start, mention.end)}
    for (start, end), concept in zip(offsets, concepts, strict=True):
        assert concept is None or all(place in inside for place in range(start, end) if is_word(text[place]))


@families
def test_a_plain_mention_is_covered_whole(family):
    text = "Which is a femoral hernia (Ménière's disease)?"
    mentions, offsets, concepts = labelled(family, TERMS, text)
    assert [text[m.start : m.end] for m in mentions] == ["femoral hernia", "Ménière's disease"]
    for number in range(len(mentions)):
        mention = mentions[number]
        own = [pair for pair, concept in zip(offsets, concepts, strict=True) if concept == mention.concept]
        covered = {place for start, end in own for place in range(start, end)}
        assert {i for i in range(mention.start, mention.end) if is_word(text[i])} <= covered
        assert all(text[i] in " (" for i in covered if not mention.start <= i < mention.end)
