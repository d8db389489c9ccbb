"""The validator: all problems at once with place and fix, warnings that agree with the matcher, settled terms."""

from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.concepts.concept import Concept
from duolearn_cli.concepts.context import Context
from duolearn_cli.concepts.hierarchy import Hierarchy
from duolearn_cli.concepts.matcher import Matcher
from duolearn_cli.concepts.validation import MAX_SHOWN, find_problems, find_warnings, listed, settle


def test_sound_concepts_have_neither_problems_nor_warnings():
    concepts = [Concept("a", 1, "alpha"), Concept("b", 2, "beta", ("a",), ("second letter",))]
    assert find_problems(concepts) == [] and find_warnings(concepts) == {}


def test_all_problems_come_at_once_with_line_and_fix():
    concepts = [
        Concept("a", 2, "alpha", row=2),
        Concept("b", 1, "beta", ("a",), row=3),
        Concept("c", 3, "Alpha", ("aa",), row=4),
        Concept("c", 3, "gamma", row=5),
        Concept("d", 4, "delta", ("e",), row=6),
        Concept("e", 4, "epsilon", ("d",), row=7),
        Concept("f", 9, "phi", row=8),
    ]
    problems = "\n".join(find_problems(concepts))
    for message in (
        "c (line 5): id 'c' is used twice, first by c (line 4); rename one",
        "c (line 4): unknown parent 'aa'",
        "b (line 3): level 1 is above its parent a (level 2); give it level 2",
        "c (line 4): the term 'Alpha' already belongs to a (line 2)",
        "f (line 8): level 9 is not one of [1, 2, 3, 4]",
        "cycle: ",
    ):
        assert message in problems
    assert len(problems.splitlines()) == 6


def test_a_term_with_a_context_may_be_shared_and_is_no_synonym_that_never_matches():
    contexts = (("AB", Context(("word",))),)
    shared = [
        Concept("a", 1, "alpha", synonyms=("AB",)),
        Concept("b", 1, "beta", synonyms=("ab", "AB"), contexts=contexts),
        Concept("c", 1, "AB", contexts=contexts),
    ]
    assert "or give it a context in one: ab{word}" in "\n".join(find_problems(shared))
    shared[1] = Concept("b", 1, "beta", synonyms=("AB",), contexts=contexts)
    assert find_problems(shared) == [] and find_warnings(shared) == {}


def test_a_long_list_is_cut_with_a_count():
    assert listed([str(n) for n in range(MAX_SHOWN + 3)]).endswith("\n  ... and 3 more")
    assert listed(["one"]) == "\n  one"


def test_warnings_name_the_loser_by_kind():
    warnings = find_warnings(
        [
            Concept("sign", 4, "Howship-Romberg sign", ("field",), ("Howship Romberg sign", "+/-")),
            Concept("field", 3, "field"),
            Concept("film", 3, "X ray", ("field",)),
            Concept("beam", 3, "beam", ("field",), ("x-ray",)),
            Concept("fibre", 3, "fibre", ("field",)),
            Concept("dust", 3, "fibres", ("field",)),
            Concept("lost", 4, "lost"),
            Concept("base", 1, "base"),
            Concept("deep", 4, "deep", ("base",)),
        ]
    )
    assert set(warnings) == {"synonyms that never match", "ambiguous forms", "levels skipped", "no parent"}
    orphaned = "\n".join(warnings["synonyms that never match"])
    assert "sign: the synonym 'Howship Romberg sign' repeats" in orphaned
    assert "sign: the synonym '+/-' has no letter or digit" in orphaned
    assert "beam: 'x-ray' in a text means film" in orphaned
    assert any(text.startswith("fibre: 'fibres'") and "dust" in text for text in warnings["ambiguous forms"])
    assert warnings["levels skipped"] == ["deep: level 4 is directly below level 1"]
    assert warnings["no parent"] == ["lost: level 4, but no parent and no children"]


WORDS = st.sampled_from(["node", "nodes", "Node", "x-ray", "x ray", "gland", "glands", "+", "lobe", "LOBE"])


@st.composite
def vocabularies(draw):
    size = draw(st.integers(1, 6))
    return [
        Concept(f"c{n}", 1, draw(WORDS.filter(str.isalpha)), synonyms=tuple(draw(st.lists(WORDS, max_size=4))))
        for n in range(size)
    ]


@given(vocabularies())
def test_settled_concepts_make_a_hierarchy_and_lose_no_word(concepts):
    settled, notes = settle(concepts)
    hierarchy = Hierarchy(settled)
    assert "synonyms that never match" not in find_warnings(settled)
    assert [c.id for c in settled] == [c.id for c in concepts]
    matcher = Matcher(hierarchy)
    for concept in settled:  # a text with a remaining term means the term's concept
        assert all(matcher.find(term)[0].concept == concept.id for term in concept.terms)
    # No word gets lost: each word that can match at all still means some concept.
    for word in {term for c in concepts for term in c.terms if any(map(str.isalnum, term))}:
        assert matcher.find(word)
    lost = sum(len(c.synonyms) for c in concepts) - sum(len(c.synonyms) for c in settled)
    assert any(note.startswith(f"{lost} synonyms dropped") for note in notes) == bool(lost)


def test_names_win_over_synonyms_and_the_first_name_stays():
    settled, notes = settle(
        [Concept("a", 1, "alpha", synonyms=("beta", "Alpha")), Concept("b", 1, "Beta"), Concept("c", 1, "ALPHA")]
    )
    assert [concept.terms for concept in settled] == [("alpha",), ("Beta",), ("ALPHA [c]",)]
    assert notes == [
        "1 names already belong to an earlier concept: the concept's id was added to them",
        "2 synonyms dropped: they name another concept or repeat a term",
    ]
