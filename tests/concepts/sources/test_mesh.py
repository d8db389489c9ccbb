"""MeSH: a made-up descriptor file in NLM's format, and files of other kinds."""

import gzip
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.concepts.hierarchy import resolve_target
from duolearn_cli.concepts.sources.mesh import Mesh, without_cycles
from duolearn_cli.config.forget import ForgetTarget
from duolearn_cli.errors import DataError

DOCTYPE = (
    '<!DOCTYPE DescriptorRecordSet SYSTEM "https://www.nlm.nih.gov/databases/dtd/nlmdescriptorrecordset_20260101.dtd">'
)


def record(number, name, trees, terms=()):
    strings = "".join(f"<Term><TermUI>T</TermUI><String>{term}</String></Term>" for term in (name, *terms))
    places = "".join(f"<TreeNumber>{tree}</TreeNumber>" for tree in trees)
    return (
        f'<DescriptorRecord DescriptorClass="1"><DescriptorUI>D{number:06}</DescriptorUI>'
        f"<DescriptorName><String>{name}</String></DescriptorName>"
        f"<AllowableQualifiersList/>{f'<TreeNumberList>{places}</TreeNumberList>' if trees else ''}"
        f'<ConceptList><Concept PreferredConceptYN="Y"><ConceptUI>M1</ConceptUI><TermList>{strings}</TermList>'
        "</Concept></ConceptList></DescriptorRecord>"
    )


def document(*records, head=DOCTYPE):
    body = "".join(records)
    return f'<?xml version="1.0"?>\n{head}\n<DescriptorRecordSet LanguageCode="eng">{body}</DescriptorRecordSet>'


SMALL = document(
    record(1, "Abdomen", ["A01.923.047"]),
    record(2, "Torso", ["A01.923"]),
    record(3, "Body Regions", ["A01"], ["Anatomic Regions"]),
    record(4, "Digestive System Diseases", ["C06"]),
    record(5, "Hernia", ["C23.300.707"]),
    record(6, "Pathologic Processes", ["C23"]),
    record(7, "Anatomical Conditions", ["C23.300"]),
    record(8, "Aspirin", ["D02.241"], ["acetylsalicylic acid", "hernia"]),
    record(9, "Organic Chemicals", ["D02"]),
    record(10, "Female", []),
    record(11, "Surgery Behaviour", ["C06.405", "F01"]),
)


@pytest.fixture
def mesh(tmp_path):
    def make(text=SMALL, name="desc2026.xml", **settings):
        data = text.encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
        return Mesh(path=str(tmp_path / name), **settings)

    return make


def test_ids_names_terms_parents_and_levels(mesh):
    hierarchy = mesh().load()
    assert hierarchy["D000001"].parents == ("D000002",) and hierarchy["D000002"].parents == ("D000003",)
    assert hierarchy["D000003"].synonyms == ("Anatomic Regions",)
    assert hierarchy["D000008"].synonyms == ("acetylsalicylic acid",)
    levels = {int(node[1:]): concept.level for node, concept in hierarchy.concepts.items()}
    assert levels == {1: 1, 2: 1, 3: 1, 4: 3, 5: 4, 6: 3, 7: 3, 8: 2, 9: 2, 11: 3}
    assert hierarchy.notes[0] == "1 descriptors left out: no tree number in the chosen branches"
    assert "synonyms dropped" in hierarchy.notes[1]


def test_gzip_branches_and_depth(mesh):
    hierarchy = mesh(name="desc.xml.gz", branches=["C"], focused_depth=2).load()
    assert {int(node[1:]): c.level for node, c in hierarchy.concepts.items()} == {4: 3, 5: 4, 6: 3, 7: 4, 11: 4}


def test_a_child_is_never_above_its_parents(mesh):
    hierarchy = mesh(document(record(1, "a", ["C01.1.1", "A02.5"]), record(2, "b", ["C01.1"]), record(3, "c", ["C01"])))
    assert hierarchy.load()["D000001"].level == 3


def test_cycles_are_broken_and_counted(mesh):
    text = document(record(1, "ethics", ["K01", "F01.5"]), record(2, "morals", ["F01", "K01.3"]))
    hierarchy = mesh(text).load()
    assert "1 parents left out: they close a cycle" in hierarchy.notes
    assert [concept.parents for concept in hierarchy.concepts.values()] == [("D000002",), ()]


@given(st.dictionaries(st.integers(0, 6), st.lists(st.integers(0, 6), max_size=4, unique=True)))
def test_only_parents_that_close_a_cycle_are_dropped(graph):
    parents = {str(n): tuple(str(m) for m in above if m in graph) for n, above in graph.items()}
    remaining, dropped = without_cycles(parents)

    def above(node, seen=()):
        if node in seen:
            return {"cycle"}
        return {node}.union(*(above(parent, (*seen, node)) for parent in remaining[node]))

    assert not any("cycle" in above(node) for node in remaining)
    assert dropped == sum(map(len, parents.values())) - sum(map(len, remaining.values()))
    for node, all_parents in parents.items():  # each dropped parent would lead back to its node
        assert all(node in above(parent) for parent in set(all_parents) - set(remaining[node]))


def test_concepts_can_be_named_by_their_terms(mesh):
    target = resolve_target(ForgetTarget("x", concepts=["digestive system DISEASES"], add=["Aspirin"]), mesh().load())
    assert (target.forget == {"D000004", "D000008"} and target.boundary == {"D000011"}) or target.forget == {
        "D000004",
        "D000008",
        "D000011",
    }


BOMB = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (document(record(1, "&b;", ["A01"]), head=BOMB), "declares XML entities"),
        (document(record(1, "&a;", ["A01"]), head=OUTSIDE), "declares XML entities"),
        (SMALL[:-30], "not a whole XML file"),
        ("no xml", "not a whole XML file"),
        ("<x/>", "no DescriptorRecord"),
        (document("<DescriptorRecord><DescriptorUI>D1</DescriptorUI></DescriptorRecord>"), "DescriptorName: D1"),
        (document(record(1, "x", [])), "no concept is left"),
        (document(record(1, "x", ["A01"]), record(1, "y", ["A02"])), "used twice"),
    ],
)
def test_files_that_are_refused(mesh, text, message):
    with pytest.raises(DataError, match=message):
        mesh(text).load()


def test_a_cut_gzip_file_is_refused(mesh, tmp_path):
    source = mesh(name="desc.xml.gz")
    path = tmp_path / "desc.xml.gz"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="not a whole XML file"):
        source.load()


@pytest.mark.slow
def test_as_many_descriptors_as_the_real_file_has(mesh):
    letters = "ABCDEFGHIJ"
    records = [
        record(n, f"heading {n}", [".".join([f"{letters[n % 10]}{n % 90:02}", *(str(n)[:k] for k in range(2, 5))])],
               [f"entry {n} {k}" for k in range(6)])
        for n in range(30_000)
    ]  # fmt: skip
    source = mesh(document(*records))
    started = time.perf_counter()
    hierarchy = source.load()
    assert len(hierarchy) == 30_000 and Counter(c.level for c in hierarchy.concepts.values())[2] == 15_000
    assert time.perf_counter() - started < 60
