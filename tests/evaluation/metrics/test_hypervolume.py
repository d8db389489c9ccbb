"""The dominated volume, against counting the cells of a grid, and at its edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.evaluation.metrics.hypervolume import hypervolume

CELLS = 20


@pytest.mark.parametrize("aims", [1, 2, 3])
@given(st.data())
def test_equals_the_share_of_grid_cells_that_some_point_dominates(aims, data):
    places = st.integers(-5, CELLS + 5)
    points = data.draw(st.lists(st.tuples(*[places] * aims), max_size=6))
    cells = np.stack(np.meshgrid(*[(np.arange(CELLS) + 0.5) / CELLS] * aims), axis=-1)
    scaled = np.array(points, float).reshape(-1, aims) / CELLS
    covered = np.zeros(cells.shape[:-1], bool)
    for point in scaled:
        covered |= (cells < point).all(-1)
    assert hypervolume(scaled) == pytest.approx(covered.mean())


@pytest.mark.parametrize(
    ("points", "volume"),
    [
        (np.zeros((0, 2)), 0.0),
        ([(0.5, 0.4)], 0.2),
        ([(1.3, 1.0)], 1.0),  # a value beyond 1 earns nothing
        ([(-0.2, 0.9)], 0.0),
        ([(0.5, 0.4), (0.5, 0.4)], 0.2),
        ([(1.0, 0.5), (0.5, 1.0)], 0.75),
        ([(0.5, 0.4), (np.nan, 1.0)], 0.2),
        ([(1.0, 1.0, 0.5), (0.5, 0.5, 1.0)], 0.625),
    ],
)
def test_of_known_points(points, volume):
    assert hypervolume(np.array(points, float)) == pytest.approx(volume)


@pytest.mark.parametrize("aims", [2, 3])
def test_takes_many_sets_at_once(aims):
    sets = np.random.default_rng(0).random((3, 4, 5, aims))
    whole = hypervolume(sets)
    assert whole.shape == (3, 4)
    assert whole[1, 2] == pytest.approx(hypervolume(sets[1, 2]))
