"""Labels in any spelling choose the same items, and notes name labels that nearly match."""

from collections import Counter

import pytest

from duolearn_cli.concepts.concept import Concept
from duolearn_cli.concepts.hierarchy import Hierarchy, resolve_target
from duolearn_cli.concepts.labels import label_key
from duolearn_cli.config.compose import compose
from duolearn_cli.config.forget import ForgetTarget
from duolearn_cli.data.items import Item
from duolearn_cli.data.labels import near_miss_notes, near_misses, override, unified

HIERARCHY = Hierarchy(
    [
        Concept("surgery", 3, "surgery", subjects=("Surgery",)),
        Concept("ocd", 3, "OCD", subjects=("Psychiatry/Obsessive/Compulsive Disorders",)),
    ]
)


def items(*labels):
    pairs = [label if isinstance(label, tuple) else (label, None) for label in labels]
    return [Item(str(n), "q", ("x", "y"), 0, subject=subject, topic=topic) for n, (subject, topic) in enumerate(pairs)]


def target(*subjects, concepts=("surgery",)):
    return resolve_target(ForgetTarget("t", concepts=list(concepts), subjects=list(subjects)), HIERARCHY)


@pytest.mark.parametrize("label", ["SURGERY", "surgery", " Surgery ", "S\u00fcrgery", "surgery\u200b"])
def test_same_label_by_case_spaces_and_accents(label):
    assert label_key(label) == label_key("Surgery")
    assert target().covers(label, None) and target("SURGERY").covers(label, None)


def test_hyphens_slashes_and_signs():
    assert label_key("Obs & Gyn") == label_key("obs and  gyn") and label_key("1.0") == label_key("1")
    assert label_key("X-ray") == label_key("x ray") != label_key("X/ray")
    ocd = target(concepts=["ocd"])
    assert ocd.covers("psychiatry", "Obsessive-compulsive disorders") and not ocd.covers("Psychiatry", "Anxiety")
    assert not target().covers(None, "Surgery")


def test_the_targets_labels_get_the_hierarchys_spelling():
    assert target("SURGERY", "Cardiology").labels == {"Surgery", "Cardiology"}


def test_labels_get_one_spelling():
    before = items("SURGERY", "surgery", "Surgery", "CARDIOLOGY", "Cardiology", "Cardiology", None)
    after, notes = unified(before, target().labels, HIERARCHY)
    assert Counter(item.subject for item in after) == {"Surgery": 3, "Cardiology": 3, None: 1}
    assert len(notes) == 2 and "'SURGERY' (1 item), 'surgery' (1 item)" in notes[0]
    assert after[2] is before[2] and unified(after, target().labels, HIERARCHY) == (after, [])


def test_topics_of_the_target_get_its_spelling_and_others_stay():
    before = items(("PSYCHIATRY", "obsessive-compulsive disorders"), ("Psychiatry", "anxiety"))
    after, _ = unified(before, target(concepts=["ocd"]).labels, HIERARCHY)
    assert (after[0].subject, after[0].topic) == ("Psychiatry", "Obsessive/Compulsive Disorders")
    assert after[1].topic == "anxiety"


def test_near_misses_with_counts():
    labelled = items(*["General surgery"] * 3, "Surgry", "Neurosurgery", "Surgery", "Medicine", "Urology", None)
    assert near_misses(labelled, target()) == {"Surgery": {"General surgery": 3, "Surgry": 1, "Neurosurgery": 1}}
    assert near_misses(items("Surgery", "Medicine"), target()) == {}


def test_the_proposed_override_works_on_the_command_line():
    import shlex

    (note,) = near_miss_notes(items("General surgery, adults", 'the "surgery"', "Surgry"), target())
    typed = shlex.split(note.partition("To forget them too: ")[2])
    config = compose("unlearn", ["+forget=surgery", *typed])
    assert list(config.forget.subjects) == ["Surgery", "General surgery, adults", 'the "surgery"', "Surgry"]
    assert shlex.split(override(["A/B", "C"])) == ["forget.subjects=[A/B,C]"]
