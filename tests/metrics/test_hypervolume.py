"""The dominated area against counting the cells of a fine grid, and at its edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.metrics.hypervolume import hypervolume

CELLS = 50


@given(st.lists(st.tuples(st.integers(-10, 60), st.integers(-10, 60)), max_size=6))
def test_equals_the_share_of_grid_cells_that_some_point_dominates(points):
    centres = (np.arange(CELLS) + 0.5) / CELLS
    x, y = np.meshgrid(centres, centres)
    scaled = [(a / CELLS, b / CELLS) for a, b in points]
    covered = np.zeros_like(x, bool)
    for a, b in scaled:
        covered |= (x < a) & (y < b)
    assert hypervolume(np.array(scaled).reshape(-1, 2)) == pytest.approx(covered.mean())


@pytest.mark.parametrize(
    ("points", "area"),
    [
        ([], 0.0),
        ([(0.5, 0.4)], 0.2),
        ([(1.3, 1.0)], 1.0),  # beyond chance earns nothing
        ([(-0.2, 0.9)], 0.0),
        ([(0.5, 0.4), (0.5, 0.4)], 0.2),
        ([(1.0, 0.5), (0.5, 1.0)], 0.75),
        ([(0.5, 0.4), (np.nan, 1.0)], 0.2),
    ],
)
def test_of_known_points(points, area):
    assert hypervolume(np.array(points, float).reshape(-1, 2)) == pytest.approx(area)


def test_takes_many_sets_at_once():
    sets = np.random.default_rng(0).random((3, 4, 5, 2))
    whole = hypervolume(sets)
    assert whole.shape == (3, 4)
    assert whole[1, 2] == pytest.approx(hypervolume(sets[1, 2]))
