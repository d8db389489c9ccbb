"""ICD-10-CM from its package."""

import builtins
from itertools import pairwise

import pytest

from duolearn_cli.concepts.sources.icd10cm import Icd10Cm
from duolearn_cli.errors import DataError


@pytest.fixture(scope="module")
def icd():
    return Icd10Cm().load()


def test_the_four_kinds_are_the_four_levels(icd):
    chain = [icd[code] for code in ("5", "F40-F48", "F40", "F40.1", "F40.10")]
    assert [concept.level for concept in chain] == [1, 2, 3, 4, 4]
    for above, below in pairwise(chain):
        assert below.parents == (above.id,)
    assert chain[0].name == "Mental, Behavioral and Neurodevelopmental disorders"
    assert "Social anxiety disorder" in icd["F40.1"].synonyms
    assert icd.lookup("phobic anxiety disorders") == "F40"


def test_a_block_of_one_category_is_that_category(icd):
    assert icd["F99"].level == 3 and icd["F99"].parents == ("5",)


def test_codes_of_encounters_are_left_out(icd):
    assert "S72.001" in icd.concepts and "S72.001A" not in icd.concepts
    assert icd.notes[0].endswith("codes left out: they only add an encounter") and len(icd) > 40_000


def test_a_missing_library_is_named_with_the_fix(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "simple_icd_10_cm":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match="pip install"):
        Icd10Cm().load()
