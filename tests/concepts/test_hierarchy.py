"""The hierarchy: validation, closure, boundary; and the embedded one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.concepts.hierarchy import Concept, ForgetTarget, Hierarchy, read_hierarchy, resolve_target
from duolearn_cli.errors import ConfigError, DataError
from duolearn_cli.study import EMBEDDED

MEDMCQA_SUBJECTS = (
    "Anaesthesia,Anatomy,Biochemistry,Dental,ENT,Forensic Medicine,Gynaecology & Obstetrics,Medicine,Microbiology,"
    "Ophthalmology,Orthopaedics,Pathology,Pediatrics,Pharmacology,Physiology,Psychiatry,Radiology,Skin,"
    "Social & Preventive Medicine,Surgery,Unknown"
)


@pytest.fixture(scope="module")
def embedded():
    return read_hierarchy(EMBEDDED)


def small():
    return Hierarchy(
        [
            Concept("medicine", 3, "medicine", subjects=("Medicine",)),
            Concept("surgery", 3, "surgery", subjects=("Surgery",)),
            Concept("gut", 3, "gut surgery", parents=("surgery",)),
            Concept("appendicitis", 4, "appendicitis", parents=("gut", "medicine")),
            Concept("whipple", 4, "Whipple procedure", parents=("gut",)),
        ]
    )


def test_target_is_closed_and_shared_concepts_are_boundary():
    target = resolve_target(ForgetTarget("s", concepts=["surgery"]), small())
    assert target.forget == {"surgery", "gut", "whipple"}
    assert target.boundary == {"appendicitis"}
    assert target.covers("Surgery", None) and not target.covers("Medicine", None)


def test_a_target_below_the_root_is_no_boundary_of_its_ancestors():
    target = resolve_target(ForgetTarget("g", concepts=["gut"], subjects=["Surgery"]), small())
    assert target.forget == {"gut", "whipple"}


def test_additions_and_exceptions():
    spec = ForgetTarget("s", concepts=["surgery"], add=["appendicitis"], keep=["whipple"])
    target = resolve_target(spec, small())
    assert target.forget == {"surgery", "gut", "appendicitis"}
    assert not target.boundary


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (ForgetTarget("s", concepts=["surgry"]), "did you mean 'surgery'"),
        (ForgetTarget("s"), "is empty"),
        (ForgetTarget("s", concepts=["whipple"]), "forget.subjects"),
    ],
)
def test_wrong_targets_are_refused(spec, said):
    with pytest.raises(ConfigError, match=said):
        resolve_target(spec, small())


@pytest.mark.parametrize(
    ("concepts", "said"),
    [
        ([Concept("a", 1, "a", parents=("b",))], "unknown parent 'b'"),
        ([Concept("a", 1, "a", parents=("b",)), Concept("b", 1, "b", parents=("a",))], "cycle"),
        ([Concept("a", 4, "a"), Concept("b", 2, "b", parents=("a",))], "above its parent"),
        ([Concept("a", 1, "same"), Concept("b", 1, "b", synonyms=("Same",))], "already belongs to a"),
        ([Concept("a", 1, "a"), Concept("a", 1, "b")], "used twice"),
        ([Concept("a", 7, "a")], "level 7"),
    ],
)
def test_malformed_hierarchies_are_refused(concepts, said):
    with pytest.raises(DataError, match=said):
        Hierarchy(concepts)


@pytest.mark.parametrize(
    ("text", "said"),
    [("id\tlevel\n", "missing columns"), ("id\tlevel\tparents\tname\tsynonyms\tsubjects\nx\tone\t\tX\t\t\n", "line 2")],
)
def test_malformed_files_are_refused(tmp_path, text, said):
    path = tmp_path / "h.tsv"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        read_hierarchy(path)


def test_embedded_hierarchy_covers_every_subject_and_topic(embedded):
    labels = {label for concept in embedded.concepts.values() for label in concept.subjects}
    assert set(MEDMCQA_SUBJECTS.split(",")) <= labels
    topics = ("Anxiety", "Depression", "Trauma", "Obsessive/Compulsive Disorders")
    assert {f"Psychiatry/{topic}" for topic in topics} <= labels
    assert len(embedded) >= 800
    assert {concept.level for concept in embedded.concepts.values()} == {1, 2, 3, 4}


@given(
    st.sets(st.sampled_from(["surgery", "anxiety", "depression", "anatomy", "cardiology", "mental_health"]), min_size=1)
)
def test_closure_is_idempotent(nodes):
    hierarchy = read_hierarchy_once()
    closure = hierarchy.descendants(nodes)
    assert hierarchy.descendants(closure) == closure and nodes <= closure


_once = []


def read_hierarchy_once():
    if not _once:
        _once.append(read_hierarchy(EMBEDDED))
    return _once[0]
