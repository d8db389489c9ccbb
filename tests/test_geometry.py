"""The projection is the solution of its quadratic programme, checked in float64."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize

from duolearn_cli.geometry import cosine, remove_conflict

numbers = st.floats(-10, 10, allow_nan=False, width=64)
vectors = arrays(np.float64, 6, elements=numbers)


@given(vectors, vectors)
def test_constraint_holds_and_nothing_else_changes(step, gradient):
    d, g = torch.tensor(step), torch.tensor(gradient)
    allowed = remove_conflict(d, g)
    scale = float(d.norm() * g.norm()) + 1e-300
    assert float(allowed @ g) <= 1e-12 * scale + 1e-200
    if float(d @ g) <= 0:
        assert torch.equal(allowed, d)
    # What is removed is parallel to the gradient.
    removed = d - allowed
    assert abs(float(removed @ g) - float(removed.norm() * g.norm())) <= 1e-9 * scale + 1e-200


@settings(max_examples=25, deadline=None)
@given(vectors, arrays(np.float64, 6, elements=st.floats(0.5, 5)))
def test_equals_explicit_quadratic_programme(step, gradient):
    solution = minimize(
        lambda d: ((d - step) ** 2).sum(),
        np.zeros(6),
        jac=lambda d: 2 * (d - step),
        constraints={"type": "ineq", "fun": lambda d: -d @ gradient, "jac": lambda d: -gradient},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    ours = remove_conflict(torch.tensor(step), torch.tensor(gradient)).numpy()
    np.testing.assert_allclose(ours, solution.x, atol=1e-5)


def test_idempotent_and_zero_gradient_constrains_nothing():
    step, gradient = torch.tensor([1.0, 2.0]).double(), torch.tensor([1.0, 0.5]).double()
    once = remove_conflict(step, gradient)
    torch.testing.assert_close(remove_conflict(once, gradient), once)
    assert torch.equal(remove_conflict(step, torch.zeros(2).double()), step)


def test_cosine():
    a = torch.tensor([3.0, 4.0])
    assert cosine(a, a).item() == 1
    assert cosine(a, -2 * a).item() == -1
    assert cosine(a, torch.zeros(2)).item() == 0
