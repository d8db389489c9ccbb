"""Depths and levels, compared with brute force on random graphs; files; settings."""

import gzip
from dataclasses import dataclass
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.concepts.concept import Concept
from duolearn_cli.concepts.sources.base import (
    depths,
    imported,
    level_of,
    opened,
    raised,
    required_file,
    with_levels_by_depth,
)
from duolearn_cli.concepts.validation import find_problems
from duolearn_cli.config.compose import compose
from duolearn_cli.errors import ConfigError, DataError
from duolearn_cli.files import groups


@st.composite
def forests(draw):
    """Draw the parents of each node. All of them come before the node, so that there is no cycle."""
    size = draw(st.integers(1, 8))
    return {
        f"n{n}": tuple(sorted(draw(st.sets(st.sampled_from([f"n{m}" for m in range(n)]), max_size=3)))) if n else ()
        for n in range(size)
    }


def shortest(node, parents):
    return 1 + min((shortest(parent, parents) for parent in parents[node]), default=0)


@given(forests())
def test_depths_are_the_shortest_paths_to_a_root(parents):
    assert depths(parents) == {node: shortest(node, parents) for node in parents}


def test_nodes_of_a_cycle_have_no_depth():
    assert depths({"a": ("b",), "b": ("a",), "c": ()}) == {"c": 1}


@given(forests(), st.data())
def test_levels_are_raised_no_more_than_needed(parents, data):
    levels = {node: data.draw(st.integers(1, 4)) for node in parents}
    concepts = [Concept(node, levels[node], node, above) for node, above in parents.items()]
    lifted = {concept.id: concept.level for concept in raised(concepts)}

    def needed(node):
        return max([levels[node], *map(needed, parents[node])])

    assert lifted == {node: needed(node) for node in parents}


@given(forests())
def test_levels_by_depth_make_a_sound_hierarchy(parents):
    concepts = with_levels_by_depth([Concept(node, 0, node, above) for node, above in parents.items()], [1, 2, 3, 4])
    assert find_problems(concepts) == []
    assert all(concept.level >= min(4, shortest(concept.id, parents)) for concept in concepts)


def test_level_of_a_depth():
    assert [level_of(depth, [1, 2, 4, 4]) for depth in range(1, 6)] == [1, 2, 2, 4, 4]


def test_cycles_and_unknown_parents_are_left_to_the_hierarchy():
    with pytest.raises(DataError, match="cycle"):
        imported(raised([Concept("a", 2, "a", ("b",)), Concept("b", 1, "b", ("a",))]), "x")
    with pytest.raises(DataError, match="unknown parent 'c'"):
        imported(with_levels_by_depth([Concept("a", 0, "a", ("c",))], [1, 2, 3, 4]), "x")
    with pytest.raises(DataError, match="no concept is left"):
        imported([], "x")


def test_files(tmp_path):
    with pytest.raises(DataError, match=r"hierarchy\.path is not set"):
        required_file(None)
    with pytest.raises(DataError, match="does not exist"):
        required_file(str(tmp_path / "x"))
    plain, zipped, other = (tmp_path / name for name in ("plain", "zipped", "other"))
    plain.write_bytes(b"text")
    zipped.write_bytes(gzip.compress(b"text"))
    other.write_bytes(b"BZh91AY&SY")
    for path in (plain, zipped):
        with opened(path) as file:
            assert file.read() == b"text"
    with pytest.raises(DataError, match="unpack it"):
        opened(other)


BAD_WEIGHTS = ("[1,2]", "[1,1,1,-1]", "[nan,1,1,1]", "[inf,1,1,1]", "[]")


@pytest.mark.parametrize(("name", "weights"), list(product(groups()["hierarchy"], BAD_WEIGHTS)))
def test_every_source_checks_its_weights(name, weights):
    with pytest.raises(ConfigError, match=r"hierarchy\.level_weights=.*four numbers of 0 or more"):
        compose("unlearn", ["+forget=surgery", f"hierarchy={name}", f"hierarchy.level_weights={weights}"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["hierarchy=obo", "hierarchy.level_depths=[1,3,2,4]"], "level_depths"),
        (["hierarchy=csv", "hierarchy.level_depths=[2,3,4,5]"], "the first 1"),
        (["hierarchy=obo", "hierarchy.scopes=[exact]"], "did you mean 'EXACT'"),
        (["hierarchy=mesh", "hierarchy.branches=[C14]"], "'C14' is not a branch"),
        (["hierarchy=mesh", "hierarchy.specialties=[A,C]"], "both name A"),
        (["hierarchy=mesh", "hierarchy.focused_depth=1"], "2 or more"),
        (["hierarchy=csv", "hierarchy.delimiter=ab"], "one character"),
        (["hierarchy=csv", "hierarchy.separator="], "separator is empty"),
        (["hierarchy=csv", "hierarchy.columns.nam=x"], "did you mean 'name'"),
        (["hierarchy=csv", "hierarchy.columns.id=null"], "hierarchy.columns.id=null: expected a text"),
        (["hierarchy.level_weights=[a,1,1,1]"], "a list of numbers"),
        (["hierarchy.terms=x"], "pairs, such as {a: b}"),
        (["hierarchy.pth=x"], "did you mean 'path'"),
        (["hierarchy._target_=duolearn_cli.methods.npo.NPO", "~hierarchy.file"], "hierarchy"),
        (["hierarchy=mish"], "did you mean 'mesh'"),
    ],
)
def test_wrong_settings(overrides, message):
    with pytest.raises(ConfigError) as caught:
        compose("unlearn", ["+forget=surgery", *overrides])
    assert message in str(caught.value)


@dataclass
class Unrelated:
    """It has what a source has, and derives from nothing that declares it."""

    name: str = "unrelated"
    level_weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)

    def load(self):
        raise AssertionError("a class that is refused is not asked")


def test_a_source_of_another_base_is_refused_with_the_fix():
    overrides = ["+forget=surgery", f"hierarchy._target_={__name__}.Unrelated", f"plugins=[{__name__}]"]
    with pytest.raises(ConfigError, match=r"Unrelated does not derive from HierarchySource.* import HierarchySource"):
        compose("unlearn", overrides)
