"""The coverage of a target: computed by hand, and on the embedded hierarchy."""

from duolearn_cli.concepts.concept import Concept
from duolearn_cli.concepts.coverage import coverage
from duolearn_cli.concepts.hierarchy import Hierarchy, resolve_target
from duolearn_cli.config.forget import ForgetTarget

HIERARCHY = Hierarchy(
    [
        Concept("clinic", 2, "clinic"),
        Concept("surgery", 3, "surgery", ("clinic",), subjects=("Surgery",)),
        Concept("medicine", 3, "medicine", ("clinic",)),
        Concept("hernia", 4, "hernia", ("surgery",)),
        Concept("colitis", 4, "colitis", ("surgery", "medicine")),
        Concept("toxic_colitis", 4, "toxic colitis", ("colitis",)),
        Concept("wound", 4, "wound", ("surgery",)),
        Concept("fever", 2, "fever"),
    ]
)


def of(spec, forget=(), retain=()):
    return coverage(resolve_target(spec, HIERARCHY), HIERARCHY, forget, retain)


def test_by_hand():
    spec = ForgetTarget("s", ["surgery"], keep=["wound"])
    covered = of(spec, [["hernia", "fever"], ["colitis"], []], [["toxic_colitis", "colitis"], ["fever"], ["wound"]])
    assert covered.concepts[3] == {"forget": 1, "boundary": 0, "kept": 0}
    assert covered.concepts[4] == {"forget": 1, "boundary": 2, "kept": 1}
    assert [(b.id, b.also_under, b.forget_items, b.retain_items) for b in covered.boundary] == [
        ("colitis", ("medicine",), 1, 1),
        ("toxic_colitis", ("medicine",), 0, 1),
    ]
    assert covered.items["forget"] == {"target": 1, "boundary": 1, "other": 1, "none": 1}
    assert covered.sentence() == (
        "s: 2 concepts to forget; 2 on the boundary (colitis, toxic colitis) and 1 exceptions are preserved"
    )
    assert covered.items["retain"] == {"target": 0, "boundary": 1, "other": 2, "none": 0}


def test_the_boundary_can_be_forgotten_too():
    preserved, forgotten = (
        resolve_target(ForgetTarget("s", ["surgery"], boundary=rule), HIERARCHY) for rule in ("preserve", "forget")
    )
    assert preserved.boundary == {"colitis", "toxic_colitis"}
    assert forgotten.boundary == set() and forgotten.forget == preserved.forget | preserved.boundary


def test_every_boundary_concept_names_what_else_is_above_it(study):
    covered = study.coverage()
    assert len(covered.boundary) == len(study.target.boundary) > 0
    assert all(shared.also_under for shared in covered.boundary)
    assert sum(row["forget"] for row in covered.concepts.values()) == len(study.target.forget)
