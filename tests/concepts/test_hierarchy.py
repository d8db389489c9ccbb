"""The hierarchy: validation, closure and boundary, on small hierarchies and on the embedded one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.concepts.concept import Concept
from duolearn_cli.concepts.context import Context
from duolearn_cli.concepts.hierarchy import Hierarchy, read_hierarchy, resolve_target
from duolearn_cli.concepts.sources.embedded import FOLDER
from duolearn_cli.config.forget import ForgetTarget
from duolearn_cli.errors import ConfigError, DataError

HEADER = "id\tlevel\tparents\tname\tsynonyms\tsubjects\n"
MEDMCQA_SUBJECTS = (
    "Anaesthesia,Anatomy,Biochemistry,Dental,ENT,Forensic Medicine,Gynaecology & Obstetrics,Medicine,Microbiology,"
    "Ophthalmology,Orthopaedics,Pathology,Pediatrics,Pharmacology,Physiology,Psychiatry,Radiology,Skin,"
    "Social & Preventive Medicine,Surgery,Unknown"
)


@pytest.fixture(scope="module")
def embedded():
    return read_hierarchy(FOLDER / "medical4.tsv")


def small():
    return Hierarchy(
        [
            Concept("medicine", 3, "medicine", subjects=("Medicine",)),
            Concept("surgery", 3, "surgery", subjects=("Surgery",)),
            Concept("heart", 3, "cardiology"),
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


def test_a_target_seeks_the_concepts_that_no_label_stands_for():
    def sought(*concepts, **spec):
        return resolve_target(ForgetTarget("t", concepts=list(concepts), **spec), small()).sought

    assert sought("whipple") == {"whipple"} and sought("surgery") == set()
    # whipple lies below surgery, whose label covers it; heart has no label.
    assert sought("surgery", "whipple") == set() and sought("surgery", "heart") == {"heart"}
    assert sought("surgery", "heart", subjects=["Surgery"]) == set()
    assert sought("surgery", by="concepts") == sought("surgery", by="either") == {"surgery", "gut", "whipple"}


def test_by_concepts_no_label_counts():
    spec = ForgetTarget("s", concepts=["surgery"], subjects=["Surgery"], by="concepts")
    assert resolve_target(spec, small()).labels == set()
    assert resolve_target(ForgetTarget("s", concepts=["surgery"], by="either"), small()).labels == {"Surgery"}


def test_items_about_nothing_but_kept_concepts_are_not_covered():
    target = resolve_target(ForgetTarget("s", concepts=["surgery"], keep=["whipple"]), small())
    assert not target.covers("Surgery", None, ["whipple"])
    assert target.covers("Surgery", None, ["whipple", "gut"]) and target.covers("Surgery", None, [])


def test_additions_and_exceptions():
    spec = ForgetTarget("s", concepts=["surgery"], add=["appendicitis"], keep=["whipple"])
    target = resolve_target(spec, small())
    assert target.forget == {"surgery", "gut", "appendicitis"}
    assert not target.boundary


def test_nodes_are_named_by_id_name_or_synonym():
    hierarchy = Hierarchy(
        [*small().concepts.values(), Concept("D1", 4, "General Surgery", synonyms=("GUT operation",))]
    )
    for word in ("D1", "general surgery", "Gut Operation"):
        target = resolve_target(ForgetTarget("s", concepts=[word], add=["APPENDICITIS"]), hierarchy)
        assert target.forget == {"D1", "appendicitis"} and not target.boundary
    kept = resolve_target(ForgetTarget("s", concepts=["surgery"], keep=["whipple PROCEDURE"]), hierarchy)
    assert kept.kept == {"whipple"} and "whipple" not in kept.forget


def test_an_id_wins_over_another_concepts_name():
    hierarchy = Hierarchy([Concept("gut", 3, "gut surgery"), Concept("b", 3, "gut")])
    assert hierarchy.lookup("gut") == "gut" and hierarchy.lookup("GUT") == "b" and hierarchy.lookup("x") is None


def test_one_message_lists_all_unknown_nodes():
    with pytest.raises(ConfigError) as caught:
        resolve_target(ForgetTarget("s", concepts=["surgry"], add=["gut surgrey"], keep=["wipple"]), small())
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["forget.concepts", "forget.add", "forget.keep"]
    assert "did you mean 'gut surgery'" in lines[1]


@pytest.mark.parametrize(
    ("subjects", "proposed"),
    [(["SURGERY"], "surgery"), (["Medicine/Cardiology", "Surgery"], "heart,surgery"), (["Medicine/Other"], "medicine")],
)
def test_a_target_of_labels_alone_gets_concepts_of_the_same_name_proposed(subjects, proposed):
    with pytest.raises(ConfigError, match=r"which rows to forget, .*which words .*Fix: add forget\.concepts") as caught:
        resolve_target(ForgetTarget("s", subjects=subjects), small())
    (concepts,) = re.findall(r"Fix: add forget\.concepts=\[(.*)\]\.$", str(caught.value))
    assert concepts == proposed
    target = resolve_target(ForgetTarget("s", concepts=concepts.split(","), subjects=subjects), small())
    assert {label.casefold() for label in target.labels} == {label.casefold() for label in subjects}


def test_a_target_of_labels_that_no_concept_has_as_a_name_gets_the_command_that_finds_concepts():
    with pytest.raises(ConfigError, match=r"forget\.concepts=\[CONCEPT,...\] \(`duolearn hierarchy find"):
        resolve_target(ForgetTarget("s", subjects=["Own field"]), small())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (ForgetTarget("s", concepts=["surgry"]), "did you mean 'surgery'"),
        (ForgetTarget("s"), "is empty"),
    ],
)
def test_wrong_targets_are_refused(spec, message):
    with pytest.raises(ConfigError, match=message):
        resolve_target(spec, small())


@pytest.mark.parametrize(
    ("concepts", "message"),
    [
        ([Concept("a", 1, "a", parents=("b",))], "unknown parent 'b'"),
        ([Concept("a", 1, "a", parents=("b",)), Concept("b", 1, "b", parents=("a",))], "cycle"),
        ([Concept("a", 4, "a"), Concept("b", 2, "b", parents=("a",))], "above its parent"),
        ([Concept("a", 1, "same"), Concept("b", 1, "b", synonyms=("Same",))], "already belongs to a"),
        ([Concept("a", 1, "a"), Concept("a", 1, "b")], "used twice"),
        ([Concept("a", 7, "a")], "level 7"),
    ],
)
def test_malformed_hierarchies_are_refused(concepts, message):
    with pytest.raises(DataError, match=message):
        Hierarchy(concepts)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id\tlevel\n", "missing columns"),
        (HEADER + "x\tone\t\tX\t\t\n", "line 2"),
        (HEADER + "x\t²\t\tX\t\t\n", "line 2"),
        (HEADER + "x\t1\t\t \t\t\n", "line 2"),
        (HEADER + "x\t1\t\tX\t\t\tmore\n", "line 2"),
    ],
)
def test_malformed_files_are_refused(tmp_path, text, message):
    path = tmp_path / "h.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_hierarchy(path)


def test_encodings(tmp_path):
    path = tmp_path / "h.tsv"
    path.write_text(HEADER + "x\t1\t\tX\t\t\n", encoding="utf-8-sig")
    assert len(read_hierarchy(path)) == 1
    path.write_bytes((HEADER + "x\t1\t\tcaf\u00e9\t\t\n").encode("cp1252"))
    with pytest.raises(DataError, match="not UTF-8 at byte"):
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
        _once.append(read_hierarchy(FOLDER / "medical4.tsv"))
    return _once[0]


def test_concepts_may_share_a_term_where_a_context_tells_them_apart():
    trial = Concept("trial", 1, "trial", synonyms=("RCT",), contexts=(("RCT", Context(("drug",))),))
    root = Concept("root", 1, "root canal", synonyms=("RCT",), contexts=(("RCT", Context(("tooth",))),))
    plain = Concept("other", 1, "other", synonyms=("rct",))
    both = Hierarchy([trial, root])
    assert both.lookup("RCT") is None and Hierarchy([trial]).lookup("rct") == "trial"
    assert Hierarchy([trial, root, plain]).lookup("RCT") == "other"
    with pytest.raises(ConfigError, match="it may mean trial or root"):
        resolve_target(ForgetTarget("x", concepts=["RCT"]), both)
    with pytest.raises(DataError, match="already belongs to other"):
        Hierarchy([plain, Concept("again", 1, "again", synonyms=("RCT",))])


# Words that name a malignant tumour. Names of operations, stages or rules are not tumours.
MALIGNANT = r"carcinoma|cancer|sarcoma|melanoma|lymphoma|glioblastoma|germ cell tumour|testicular tumour|seminoma"
NO_TUMOUR = r"resection|cytology|rule of|classification|staging|regimen|gene|antigen|lymphadenectomy|therapy|vaccine"


def test_cancers_that_surgery_treats_are_all_on_its_boundary(embedded):
    target = resolve_target(ForgetTarget("surgery", concepts=["surgery"]), embedded)
    below = embedded.descendants(["surgery"])
    cancers = {
        node
        for node in below
        if re.search(MALIGNANT, embedded[node].name, re.I) and not re.search(NO_TUMOUR, embedded[node].name, re.I)
    }
    assert len(cancers) > 60 and cancers <= target.boundary
    named = "lung breast prostate colorectal pancreatic"
    assert {f"{organ}_carcinoma" for organ in named.split()} | {"hepatocellular_carcinoma"} <= target.boundary
    assert {"d2_lymphadenectomy", "penectomy"} <= target.forget
