"""A person has reviewed every synonym of the embedded vocabulary that looks like another concept."""

import subprocess
import sys
from pathlib import Path

import pytest

from duolearn_cli.concepts.concept import Concept
from duolearn_cli.concepts.rows import read_concepts
from tests.concepts.embedded import embedded
from tests.scripts import load

SCRIPT = Path(__file__).parents[2] / "scripts" / "synonym_review.py"
review = load("synonym_review")


@pytest.mark.parametrize(
    ("term", "name", "needed"),
    [
        ("tRNA", "mRNA", True),
        ("TIBC", "serum ferritin", True),
        ("heart attack", "myocardial infarction", True),
        ("IL-6", "interleukin-1", True),
        ("interleukin-6", "interleukin-1", True),
        ("HbA2", "haemoglobin A", True),
        ("true negative", "false positive", True),
        ("false negative", "false positive", True),
        ("hypertrichosis", "hyperaemia", True),
        ("Weil disease", "Lyme disease", True),
        ("SARS", "severe acute respiratory syndrome", False),
        ("ORS", "oral rehydration solution", False),
        ("DOTS", "directly observed treatment", False),
        ("hepatic steatosis", "steatosis of the liver", False),
        ("anaemias", "anaemia", False),
    ],
)
def test_which_synonyms_need_a_decision(term, name, needed):
    assert review.needs_decision(term, name) is needed


def test_every_embedded_synonym_is_decided():
    concepts, reviewed = list(embedded().concepts.values()), review.read_reviewed(review.REVIEWED)
    assert len(reviewed) > 2000
    assert review.undecided(concepts, reviewed) == []
    assert review.stale(concepts, reviewed) == []


def test_an_addition_must_be_decided(tmp_path):
    vocabulary, reviewed = tmp_path / "h.tsv", tmp_path / "reviewed.tsv"
    row = "mi\t4\t\tmyocardial infarction\theart attack|cardiac infarction|angina\t"
    vocabulary.write_text(f"id\tlevel\tparents\tname\tsynonyms\tsubjects\n{row}\n")
    reviewed.write_text("synonym\tconcept\nheart attack\tmi\ncoronary\tmi\n")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(vocabulary), "--reviewed", str(reviewed)], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stdout.splitlines() == ["undecided\tangina\tmi\tmyocardial infarction", "stale\tcoronary\tmi"]
    reviewed.write_text("synonym\tconcept\nheart attack\tmi\nangina\tmi\n")
    assert review.undecided(read_concepts(vocabulary), review.read_reviewed(reviewed)) == []


def test_an_opposite_needs_a_decision_although_it_shares_a_stem():
    concept = Concept("x", 1, "superficial palmar arch", synonyms=("deep palmar arch", "superficial volar arch"))
    assert [term for term, _ in review.undecided([concept], set())] == ["deep palmar arch"]
