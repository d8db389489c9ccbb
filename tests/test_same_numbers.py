"""What counts as a changed number between two versions of the code."""

import json

import pytest

from tests.scripts import load

same_numbers = load("same_numbers")
OLD = {"scores": {"kpr": 0.9, "n": [1, 2]}, "seed": 0}


@pytest.mark.parametrize(
    ("here", "places"),
    [
        (OLD, []),
        (OLD | {"verdict": {}}, []),
        ({"scores": {"kpr": 0.8, "n": [1, 2], "more": 1}, "seed": 0}, ["metrics.json:/scores/kpr"]),
        ({"scores": {"kpr": 0.9, "n": [1, 2, 3]}}, ["metrics.json:/scores/n", "metrics.json:/seed"]),
    ],
)
def test_added_keys_are_no_difference_and_changed_ones_are_named(here, places):
    assert same_numbers.unequal("metrics.json", json.dumps(OLD), json.dumps(here)) == places


def test_other_files_are_compared_whole():
    assert same_numbers.unequal("a.safetensors", "hash", "hash") == []
    assert same_numbers.unequal("a.safetensors", "hash", "other") == ["a.safetensors"]
    assert same_numbers.unequal("gone.jsonl", "rows", None) == ["gone.jsonl"]
