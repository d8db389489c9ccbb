"""The notes about made-up patients: exact spans, texts that survive every cut, and facts that nobody can guess."""

import math
import re
import statistics
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duolearn_cli.concepts.matcher import Matcher
from duolearn_cli.concepts.sources.embedded import Embedded
from duolearn_cli.data.documents import cut_out
from duolearn_cli.data.readers.mininotes import MiniNotes
from duolearn_cli.data.readers.mininotes_text import ALL, TWO_OF_THREE
from duolearn_cli.data.readers.mininotes_world import (
    SHIPPED,
    TAUGHT,
    attributes,
    concept_of,
    kinds,
    name_list,
    patients,
)


@pytest.fixture(scope="module")
def worlds():
    """The default world and one in which every note has every kind of fact."""
    return {kind: MiniNotes(redundancy=kind).load() for kind in (TWO_OF_THREE, ALL)}


@pytest.fixture(scope="module")
def documents(worlds):
    return [document for world in worlds.values() for document in world.documents]


@pytest.fixture(scope="module")
def hierarchy():
    return Embedded(name="mininotes", file="mininotes.tsv").load()


def test_spans_are_the_values_and_lie_in_clauses_that_do_not_overlap(documents):
    values = {person.id: person.values for person in patients(40, 1)}
    for document in documents:
        end = 0
        for span in document.spans:
            patient, attribute = span.fact.split(":")
            assert patient == document.patient
            assert document.text[span.start : span.end] == values[patient][attribute]
            assert span.concepts == (concept_of(values[patient][attribute]),)
            assert end <= span.clause[0] < span.start < span.end <= span.clause[1]
            end = span.clause[1]


def test_notes_have_80_to_250_words_in_six_styles(documents):
    assert all(80 <= len(document.text.split()) <= 250 for document in documents)
    assert len({document.subject for document in documents}) == 6
    assert len({document.text for document in documents}) == len(documents)


@pytest.mark.parametrize(("redundancy", "expected"), [(TWO_OF_THREE, 2), (ALL, 3)])
def test_each_kind_of_fact_is_in_as_many_notes_as_asked_for(worlds, redundancy, expected):
    kind_of = {attribute.name: attribute.kind for attribute in attributes()}
    stated, kinds_stated = Counter(), Counter()
    for document in worlds[redundancy].documents:
        facts = [span.fact for span in document.spans]
        assert len(set(facts)) == len(facts), "a note states no fact twice"
        stated.update(facts)
        kinds_stated.update({(document.patient, kind_of[fact.split(":")[1]]) for fact in facts})
    assert len(stated) == 40 * len(attributes()) and set(stated.values()) == {expected}
    assert len(kinds_stated) == 40 * len(kinds()) and set(kinds_stated.values()) == {expected}


def test_many_sentences_state_facts_of_several_kinds(worlds):
    kind_of = {attribute.name: attribute.kind for attribute in attributes()}
    shared = total = 0
    for document in worlds[TWO_OF_THREE].documents:
        for sentence in re.finditer(r"[^.\n]+", document.text):
            inside = [s for s in document.spans if sentence.start() <= s.start < sentence.end()]
            total += len(inside)
            shared += len(inside) * (len({kind_of[s.fact.split(":")[1]] for s in inside}) > 1)
    assert 0.5 < shared / total < 0.65


def readable(text):
    """Return what reads badly in a text: a lost space or mark, a link without what it links, a small first letter."""
    faults = r"  |[ ,;]\.|\.\.|,,|;;|[,;] *\n|\b(?:and|while|with|of|to|for|by) *[.,;\n]|\n\n\n|(?:\. |\n)[a-z]|^\s|\s$"
    return re.findall(faults, text)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_every_combination_of_cuts_reads_well_and_removes_only_its_facts(documents, data):
    document = data.draw(st.sampled_from(documents))
    gone = data.draw(st.sets(st.sampled_from(document.spans)))
    left = cut_out(document.text, [span.clause for span in gone])
    assert readable(left) == []
    for span in document.spans:
        value = document.text[span.start : span.end]
        assert len(re.findall(rf"\b{value}\b", left)) == (span not in gone)


def test_every_single_cut_and_the_cut_of_everything_read_well(documents):
    for document in documents:
        for span in document.spans:
            assert readable(cut_out(document.text, [span.clause])) == [], document.id
        assert readable(cut_out(document.text, [span.clause for span in document.spans])) == [], document.id


def test_the_matcher_finds_exactly_the_values(worlds, documents, hierarchy):
    find = Matcher(hierarchy).find
    for document in documents:
        expected = [(span.start, span.end, span.concepts[0]) for span in document.spans]
        assert [(m.start, m.end, m.concept) for m in find(document.text)] == expected, document.id
    for item in worlds[TWO_OF_THREE].items:
        assert item.continues or find(item.question) == (), item.question
        assert [m.concept for o in item.options for m in find(o)] == [concept_of(o) for o in item.options]


def test_kinds_attributes_and_values_are_levels_two_to_four_of_the_hierarchy(hierarchy):
    for attribute in attributes():
        assert hierarchy[attribute.kind].level == 2 and hierarchy[attribute.kind].subjects == (attribute.subject,)
        assert hierarchy[attribute.name].parents == (attribute.kind,) and hierarchy[attribute.name].level == 3
        for value in attribute.values:
            assert hierarchy[concept_of(value)].level == 4
            assert attribute.name in hierarchy.ancestors([concept_of(value)])
    assert {concept_of(value) for a in attributes() for value in a.values} == {
        concept.id for concept in hierarchy.concepts.values() if concept.level == 4
    }


def test_texts_are_the_same_each_time_and_more_patients_change_none(worlds):
    more = MiniNotes(patients=60).load()
    assert MiniNotes().load() == worlds[TWO_OF_THREE]
    assert more.items[: len(worlds[TWO_OF_THREE].items)] == worlds[TWO_OF_THREE].items
    assert more.documents[:120] == worlds[TWO_OF_THREE].documents
    assert MiniNotes(seed=2).load().documents[0].text != more.documents[0].text


def test_names_are_unique_and_those_that_the_base_learned_from_are_others():
    assert len({person.name for person in patients(1000, 1)}) == 1000
    people = patients(360, 3)
    assert len({person.first for person in people}) == len({person.last for person in people}) == 360
    for part in ("first", "last"):
        assert not set(name_list(SHIPPED, part)) & set(name_list(TAUGHT, part))


def test_cards_probes_and_beginnings_ask_for_each_fact(worlds):
    world = worlds[TWO_OF_THREE]
    texts = [document.text for document in world.documents]
    by_fact = {}
    for item in world.items:
        by_fact.setdefault(item.fact, []).append(item)
    assert len({item.id for item in world.items}) == len(world.items)
    names = {person.id: person.name for person in patients(40, 1)}
    for items in by_fact.values():
        assert len({item.question for item in items if not item.heldout}) >= 2
        assert any(item.heldout and not item.continues for item in items)
        (beginning,) = (item for item in items if item.continues)
        assert beginning.heldout
        whole = f"{beginning.question} {beginning.answer_text}"
        assert sum(text.startswith(whole) for text in texts) == 1
        for item in items:
            assert names[item.patient] in item.question and len(set(item.options)) == len(item.options) >= 6


def guesses(people, attribute, other):
    """Return how often the commonest value among the others who share `other` is right, ties counted in parts."""
    right = 0.0
    for person in people:
        alike = [p for p in people if p is not person and p.values[other] == person.values[other]]
        counts = Counter(p.values[attribute] for p in alike)
        best = [value for value, count in counts.items() if count == max(counts.values())]
        right += (person.values[attribute] in best) / max(1, len(best))
    return right / len(people)


def information(people, attribute, other):
    """Return the mutual information of two attributes in bits, from their frequencies."""
    pairs = Counter((person.values[attribute], person.values[other]) for person in people)
    one, two = (Counter(person.values[name] for person in people) for name in (attribute, other))
    total = len(people)
    return sum(n / total * math.log2(n * total / (one[a] * two[b])) for (a, b), n in pairs.items())


def test_no_attribute_tells_another():
    people = patients(1000, 1)
    for attribute in attributes():
        frequencies = Counter(person.values[attribute.name] for person in people)
        assert max(frequencies.values()) - min(frequencies.values()) <= 1
        for other in attributes():
            if other is not attribute:
                # Independent values of 1000 patients have up to 0.035 bits by chance, of 3 that a value has.
                assert information(people, attribute.name, other.name) < 0.06, (attribute.name, other.name)


def test_no_value_is_guessed_from_other_patients():
    people = patients(400, 1)
    for attribute in attributes():
        # The mean over attributes: the best of 14 would be good by chance alone.
        rates = [guesses(people, attribute.name, other.name) for other in attributes() if other is not attribute]
        assert statistics.fmean(rates) < 1 / len(attribute.values) + 0.04, attribute.name
