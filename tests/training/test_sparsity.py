"""The ranking of coordinates, compared with sorting by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.model.distributed import Processes
from duolearn_cli.training import sparsity


def processes():
    return Processes(Accelerator(cpu=True))


def draw(seed, n=40):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, n, generator=generator).square().unbind(0)


@given(seed=st.integers(0, 10**6), budget=st.integers(0, 50))
def test_coordinates_with_the_highest_ratio(seed, budget):
    forget, retain = draw(seed)
    index = sparsity.choose(forget, retain, None, budget, processes(), 1e-3)
    ratio = (forget / (retain + 1e-3 * retain.mean())).numpy()
    assert index.tolist() == sorted(np.argsort(-ratio)[:budget].tolist())


def test_ties_never_exceed_the_budget():
    ones = torch.ones(10)
    assert len(sparsity.choose(ones, ones, None, 4, processes(), 1e-3)) <= 4


@given(seed=st.integers(0, 10**6), budget=st.integers(0, 40))
def test_units_are_whole_and_fit(seed, budget):
    forget, retain = draw(seed)
    units = torch.arange(40) % 7
    index = sparsity.choose(forget, retain, units, budget, processes(), 1e-3)
    assert len(index) <= budget
    chosen = set(units[index].tolist())
    assert set(index.tolist()) == {i for i in range(40) if i % 7 in chosen}
    ratio = {u: float(forget[units == u].sum() / retain[units == u].sum()) for u in range(7)}
    if chosen and len(chosen) < 7:
        # A unit with a better ratio may be left out only because it does not fit.
        left = budget - len(index)
        better = [u for u in range(7) if u not in chosen and ratio[u] > 1.01 * max(ratio[c] for c in chosen)]
        assert all(int((units == u).sum()) > left for u in better)


def test_a_coordinate_that_matters_to_neither_side_does_not_win():
    forget, retain = torch.tensor([1e-20, 1.0, 1.0]), torch.tensor([1e-30, 1.0, 2.0])
    assert sparsity.choose(forget, retain, None, 1, processes(), 1e-3).tolist() == [1]


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_nothing_known_of_retain_data_still_chooses(size):
    forget = size * torch.tensor([1.0, 3.0, 2.0])
    assert sparsity.choose(forget, torch.zeros(3), None, 2, processes(), 1e-3).tolist() == [1, 2]
