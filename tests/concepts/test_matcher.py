"""Concept mentions: whole words, longest match and exact offsets on any text, compared with a brute-force matcher."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from duolearn_cli.concepts.concept import Concept
from duolearn_cli.concepts.context import Context, split_context
from duolearn_cli.concepts.folding import fold, is_word
from duolearn_cli.concepts.hierarchy import Hierarchy
from duolearn_cli.concepts.matcher import Matcher, Mention, forms, senses
from tests.concepts.embedded import embedded, embedded_matcher

TERMS = {
    "hernia": ("hernia",),
    "femoral_hernia": ("femoral hernia",),
    "inguinal_hernia": ("inguinal hernia",),
    "anaemia": ("anaemia",),
    "biopsy": ("biopsy",),
    "murphy": ("Murphy's sign",),
    "crohn": ("Crohn disease", "regional enteritis"),
    "meniere": ("Meniere disease",),
    "x_ray": ("X-ray",),
    "oedema": ("oedema",),
    "diagnosis": ("diagnosis",),
    "may_thurner": ("May-Thurner syndrome",),
}
# Characters that fold in a special way: accents, ligatures, one character as two or none, dashes, white space.
SEPARATORS = " \n\u00a0--\u2013_/'\u2019(."
ALPHABET = "abeésxF1\u0301\ufb01ßİ\u0131\u0149½æ\U0001d41a\U00010400\uac00\uac01\u00ad\u200d\ufe0f\ud800" + SEPARATORS


def hierarchy_of(terms):
    return Hierarchy(Concept(key, 1, names[0], synonyms=names[1:]) for key, names in terms.items())


@pytest.fixture(scope="module")
def matcher():
    return Matcher(hierarchy_of(TERMS))


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("A femoral hernia, not a hernia.", {"femoral hernia": "femoral_hernia", "hernia": "hernia"}),
        ("Hernias and BIOPSIES", {"Hernias": "hernia", "BIOPSIES": "biopsy"}),
        ("anemia with edema; œdema", {"anemia": "anaemia", "edema": "oedema", "œdema": "oedema"}),
        ("Murphy\u2019s sign; x ray", {"Murphy\u2019s sign": "murphy", "x ray": "x_ray"}),
        ("Differential diagnoses", {"diagnoses": "diagnosis"}),
        ("Regional-enteritis", {"Regional-enteritis": "crohn"}),
        ("Ménière's disease", {"Ménière's disease": "meniere"}),
        ("Me\u0301nie\u0300re disease", {"Me\u0301nie\u0300re disease": "meniere"}),
        ("an inguinal\n  hernia", {"inguinal\n  hernia": "inguinal_hernia"}),
        ("her\u00adnia", {"her\u00adnia": "hernia"}),
        ("May\u2013Thurner syndrome", {"May\u2013Thurner syndrome": "may_thurner"}),
        ("inguinal - hernia", {"hernia": "hernia"}),
        ("pain: hernia\u0301", {"hernia\u0301": "hernia"}),
        ("herniation, xhernia, hernia2, h\u00e9rniap", {}),
        ("\ud800 hernia \udc00", {"hernia": "hernia"}),
        ("", {}),
    ],
)
def test_mentions(matcher, text, mentions):
    assert {text[m.start : m.end]: m.concept for m in matcher.find(text)} == mentions


def test_concepts_in_order_of_first_mention(matcher):
    assert matcher.concepts(["Anaemia, hernia", "biopsy of a hernia"]) == ("anaemia", "hernia", "biopsy")


def by_trying(text, owner):
    """Return the mentions by trying every piece of the text: leftmost first, then longest."""
    ignored = [not fold(char) for char in text]
    mentions, start = [], 0
    while start < len(text):
        ends = [end for end in range(len(text), start, -1) if is_mention(text, start, end, ignored, owner)]
        if ends:
            mentions.append(Mention(start, ends[0], owner[fold(text[start : ends[0]])]))
        start = ends[0] if ends else start + 1
    return tuple(mentions)


def is_mention(text, start, end, ignored, owner):
    if ignored[start] or (end < len(text) and ignored[end]) or fold(text[start:end]) not in owner:
        return False
    before = [place for place in range(start) if not ignored[place]]
    last = [place for place in range(start, end) if not ignored[place]][-1]
    cut_before = before and is_word(text[before[-1]]) and is_word(text[start])
    cut_after = end < len(text) and is_word(text[last]) and is_word(text[end])
    return not (cut_before or cut_after)


@st.composite
def vocabularies_and_texts(draw):
    words = st.text(st.sampled_from(ALPHABET), min_size=1, max_size=4)
    folded = st.lists(words.filter(lambda word: any(map(str.isalnum, fold(word)))), max_size=4, unique_by=fold)
    terms = draw(folded.filter(lambda drawn: len({fold(term).strip(" -") for term in drawn}) == len(drawn)))
    known = st.sampled_from([*terms, *terms, "fi", "  "])
    pieces = st.one_of(known, st.sampled_from(SEPARATORS), st.sampled_from(ALPHABET), st.characters())
    return terms, "".join(draw(st.lists(pieces, max_size=10)))


@example((["x", "f"], "x\ufb01 \ufb01"))
@example((["x"], "x -  x\n\nx"))
@settings(max_examples=1000)
@given(vocabularies_and_texts())
def test_the_mentions_are_those_found_by_trying_everything(case):
    terms, text = case
    hierarchy = Hierarchy(Concept(str(number), 1, term) for number, term in enumerate(terms))
    assert Matcher(hierarchy).find(text) == by_trying(text, forms(hierarchy))


@given(
    st.lists(st.sampled_from(["hernia", "Inguinal", "femoral", "X-Ray", "ray", " ", "-", "\n", ", ", "é"]), max_size=9)
)
def test_the_same_on_words(parts):
    hierarchy = hierarchy_of(TERMS)
    assert Matcher(hierarchy).find("".join(parts)) == by_trying("".join(parts), forms(hierarchy))


def test_every_embedded_term_is_found_as_a_whole():
    matcher = embedded_matcher()
    for concept in embedded().concepts.values():
        for term in concept.plain_terms:
            assert [(m.start, m.end, m.concept) for m in matcher.find(f"(a {term}.)")] == [
                (3, 3 + len(term), concept.id)
            ], term


def test_every_ambiguous_embedded_term_is_found_in_each_of_its_contexts():
    matcher = embedded_matcher()
    for concept in embedded().concepts.values():
        for term, context in concept.contexts:
            for word in context.words or ("",):
                text = f"{term}, {word.removesuffix('*')}."
                # Together with its neighbour the word may be part of a longer term, but some mention must begin here.
                mentions = [mention for mention in matcher.find(text) if mention.start == 0]
                assert mentions and (mentions[0].end > len(term) or mentions[0].concept == concept.id), text


def ambiguous():
    """RCT has two senses, AIDS counts only in capitals, depression has exceptions; a trial is always a mention."""
    terms = {
        "trial": ("trial", "RCT{random*,drug}"),
        "root": ("root canal", "RCT{tooth,gutta percha}"),
        "aids": ("AIDS{=}",),
        "mood": ("depression{!mandible}",),
        "joint": ("joint", "MTP{toe}"),
        "act": ("act", "MTP"),
        "mtp_joint": ("MTP joint capsule{toe}",),
    }
    pairs = {key: [split_context(term) for term in marked] for key, marked in terms.items()}
    return Hierarchy(
        Concept(key, 1, own[0][0], synonyms=tuple(term for term, _ in own[1:]), contexts=tuple(p for p in own if p[1]))
        for key, own in pairs.items()
    )


AMBIGUOUS = Matcher(ambiguous())


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("An RCT of a drug", {"RCT": "trial"}),
        ("RCTs were randomised", {"RCTs": "trial"}),
        ("RCT of the gum", {}),
        ("RCT of the teeth", {"RCT": "root"}),
        ("RCT of the tooth", {"RCT": "root"}),
        ("Gutta-percha fills it after RCT", {"RCT": "root"}),
        ("RCT", {}),
        ("The tooth had RCT and then a randomised comparison of drugs", {"RCT": "root"}),
        ("AIDS aids Aids", {"AIDS": "aids"}),
        ("Depression; depression", {"Depression": "mood", "depression": "mood"}),
        ("depression of the mandible", {}),
        ("MTP", {"MTP": "act"}),
        ("MTP of the toe", {"MTP": "joint"}),
        ("MTP joint capsule", {"MTP": "act", "joint": "joint"}),
        ("MTP joint capsule of the toe", {"MTP joint capsule": "mtp_joint"}),
    ],
)
def test_an_ambiguous_term_counts_in_its_context_only(text, mentions):
    assert {text[m.start : m.end]: m.concept for m in AMBIGUOUS.find(text)} == mentions


def by_trying_senses(text, hierarchy):
    """Like `by_trying`, with the sense whose context word is nearest; each word is searched on its own."""
    owner, ambiguous_forms = forms(hierarchy), senses(hierarchy)
    every = {**dict.fromkeys(ambiguous_forms, None), **owner}
    mentions, start, ignored = [], 0, [not fold(char) for char in text]
    while start < len(text):
        for end in range(len(text), start, -1):
            if is_mention(text, start, end, ignored, every):
                form = fold(text[start:end])
                candidates = ambiguous_forms.get(form, ())
                gaps = [(gap, s.concept) for s in candidates for gap in naive_gaps(text, start, end, s)]
                concept = min(gaps, key=lambda pair: pair[0])[1] if gaps else owner.get(form)
                if concept:
                    mentions.append(Mention(start, end, concept))
                    break
        else:
            end = start + 1
        start = end
    return tuple(mentions)


def naive_gaps(text, start, end, sense):
    """Return the distances of the sense's words from the mention, or nothing if its context does not hold.

    Folding must not change the text's length."""
    folded, places = fold(text), range(len(text))
    inner = [place for place in places[1:] if not (is_word(text[place - 1]) and is_word(text[place]))]
    borders = [0, *inner, len(text)]
    spans = [(a, b) for a in borders for b in borders if a < b]

    def hits(word):
        stem = word.removesuffix("*")
        for a, b in spans:
            piece = folded[a:b]
            goes_on = word != stem and piece.startswith(stem) and piece[len(stem) :].isalnum()
            if goes_on or piece in (stem, stem + "s"):
                yield a, b

    if sense.context.cased and sense.term not in text[start:end]:
        return []
    if any(True for word in sense.context.unless for _ in hits(word)):
        return []
    if not sense.context.words:
        return [len(text)]
    gaps = [max(start - b, a - end) for word in sense.context.words for a, b in hits(word)]
    return [gap for gap in gaps if gap >= 0]


WORDS = ["RCT", "AIDS", "aids", "MTP", "toe", "tooth", "drug", "randoms", " ", " ", ","]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(WORDS), max_size=9))
def test_the_same_with_contexts_by_trying_everything(parts):
    text = " ".join("".join(parts).split())
    assert AMBIGUOUS.find(text) == by_trying_senses(text, ambiguous())


def test_words_inside_the_mention_do_not_count_for_its_context():
    assert Context(("rct",)).distance("rct", 0, 3) is None
    assert Context(("rct",)).distance("rct rct", 0, 3) == 1
    assert Context(unless=("a b",)).distance("x a b", 0, 1) is None
