"""The embedded vocabulary on sentences of our own: both senses of ambiguous terms, and overall precision and recall."""

import pytest

from tests.concepts.embedded import embedded, embedded_matcher
from tests.scripts import load

accuracy = load("mention_accuracy")


@pytest.fixture(scope="module")
def matcher():
    return embedded_matcher()


def test_marks_are_read():
    sentence = accuracy.parse("[RCT|trial] of a [drug|drug?], no [x|-] or [y|-?].")
    assert sentence.text == "RCT of a drug, no x or y."
    marks = [(sentence.text[m.start : m.end], m.concept, m.wanted) for m in sentence.marks]
    assert marks == [("RCT", "trial", True), ("drug", "drug", False), ("x", None, False), ("y", None, False)]


def test_marks_name_concepts():
    known = embedded().concepts
    sentences = accuracy.read_sentences(accuracy.SENTENCES)
    marks = [mark for sentence in sentences for mark in sentence.marks]
    assert len(marks) >= 300 and {mark.concept for mark in marks} - {None} <= known.keys()
    assert sum(mark.concept is None for mark in marks) >= 30
    assert len({sentence.text for sentence in sentences}) == len(sentences)


@pytest.mark.parametrize("part", ["dev", "held-out"])
def test_precision_and_recall_do_not_fall(matcher, part):
    result = accuracy.accuracy(accuracy.read_sentences(accuracy.SENTENCES, part), matcher)
    assert result.precision.value >= FLOOR[part] and result.recall.value >= FLOOR[part], result.faults


FLOOR = {"dev": 0.97, "held-out": 0.9}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("The PPV of a screening test", "positive_pressure_ventilation"),
        ("RCT was done on the lower first molar", "randomised_controlled_trial"),
        ("Hearing aids and visual aids", "aids"),
        ("Swelling of the first MTP joint of the toe", "medical_termination_of_pregnancy"),
        ("CNS depression", "depression"),
        ("Culture and sensitivity of pus", "sensitivity_of_a_test"),
        ("Accommodation of the family to the disabled child", "accommodation_of_eye"),
        ("Cooper's ligament of the breast", "pectineal_ligament"),
        ("The mold of the cast is filled with alloy", "fungus"),
        ("tRNA", "mrna"),
        ("TIBC", "serum_ferritin"),
        ("IL-2, IL-6 and IL-17", "interleukin_1"),
        ("COMT and MAO", "cholinergic_neuron"),
        ("Prucalopride", "serotonin_antagonist"),
        ("A nulliparous woman", "primigravida"),
        ("Lansoprazole", "antacid"),
        ("Fluticasone", "bronchodilator"),
        ("Edaravone", "drug_for_multiple_sclerosis"),
        ("True negative", "false_positive"),
        ("Anti-HCV", "hbv_serology"),
        ("HbA2", "haemoglobin_a"),
        ("DSM-5", "icd_10_classification_of_mental_disorders"),
        ("Random error", "bias"),
        ("A footprint", "tattoo_mark"),
    ],
)
def test_neighbours_and_other_senses_are_not_confused(matcher, text, wrong):
    assert wrong not in embedded().ancestors(matcher.concepts([text]))


@pytest.mark.parametrize("brand", ["Zoloft=sertraline", "Lustral=sertraline", "Prozac=fluoxetine", "Xanax=alprazolam"])
def test_brand_names(matcher, brand):
    name, drug = brand.split("=")
    assert matcher.concepts([f"She took {name} for years."]) == (drug,)
