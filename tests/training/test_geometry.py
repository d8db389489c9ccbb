"""The geometry, compared with explicit quadratic programs in float64."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from threading import Barrier

import hypothesis.extra.numpy as npst
import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from duolearn_cli.training.geometry import block_sums, constrain, inner, multipliers, shorten

METRICS = ["euclidean", "diagonal"]


def instance(seed, n, k, metric="euclidean"):
    """Return a random step, gradients that mostly conflict with it, and a metric over four orders of magnitude."""
    draw = np.random.default_rng(seed)
    step, gradients = draw.standard_normal(n), draw.standard_normal((k, n))
    gradients += draw.uniform(-0.5, 1.5) * step
    weights = np.exp(draw.uniform(-5, 5, n)) if metric == "diagonal" else np.ones(n)
    return torch.tensor(step), torch.tensor(gradients), torch.tensor(weights)


def quadratic_program(step, gradients, metric, two_sided):
    """Solve the primal problem by brute force: try every set of active constraints, keep the best feasible point."""
    d0, g, m = (tensor.numpy() for tensor in (step, gradients, metric))
    k = len(g)
    best, distance = None, np.inf
    sizes = [k] if two_sided else range(k + 1)
    for size in sizes:
        for active in map(list, combinations(range(k), size)):
            # Stationarity m (d - d0) + g_A' l = 0 and g_A d = 0, solved as one dense system.
            a = g[active]
            system = np.block([[np.diag(m), a.T], [a, np.zeros((size, size))]])
            d = np.linalg.lstsq(system, np.concatenate([m * d0, np.zeros(size)]), rcond=None)[0][: len(d0)]
            violated = np.abs(g @ d).max() if two_sided else (g @ d).max(initial=0)
            found = float((m * (d - d0) ** 2).sum())
            if violated < 1e-8 and found < distance:
                best, distance = d, found
    return best, distance


def worst(step, gradients, two_sided=False):
    slopes = gradients @ step
    relative = slopes / (gradients.norm(dim=1) * step.norm()).clamp(min=1e-300)
    return float((relative.abs() if two_sided else relative).max())


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("two_sided", [False, True])
@given(seed=st.integers(0, 10**6), n=st.integers(6, 12), k=st.integers(1, 5))
def test_equals_an_explicit_quadratic_program(metric, two_sided, seed, n, k):
    step, gradients, weights = instance(seed, n, k, metric)
    given_metric = weights if metric == "diagonal" else None
    allowed, slopes = constrain(step, gradients, metric=given_metric, two_sided=two_sided)
    assert worst(allowed, gradients, two_sided) <= 1e-9
    torch.testing.assert_close(slopes[0], gradients @ step)
    expected, distance = quadratic_program(step, gradients, weights, two_sided)
    found = float(inner(allowed - step, allowed - step, weights))
    assert found == pytest.approx(distance, rel=1e-6, abs=1e-9)
    np.testing.assert_allclose(allowed.numpy(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 32))
def test_many_gradients_satisfy_the_optimality_conditions(metric, seed, k):
    """Primal and dual feasible, complementary: with convexity that is optimality."""
    step, gradients, weights = instance(seed, 200, k, metric)
    allowed, slopes = constrain(step, gradients, metric=weights)
    assert worst(allowed, gradients) <= 1e-9
    dual = multipliers((gradients / weights @ gradients.T)[None], slopes)[0]
    assert (dual >= 0).all()
    torch.testing.assert_close(allowed, step - dual @ (gradients / weights), rtol=1e-6, atol=1e-9)
    assert float((dual * (gradients @ allowed)).abs().max()) <= 1e-6 * float(dual.max() + 1)


@pytest.mark.parametrize("metric", METRICS)
@given(seed=st.integers(0, 10**6), n=st.integers(6, 12), k=st.integers(1, 4))
def test_shortened_and_then_projected_is_the_joint_minimum(metric, seed, n, k):
    """min |d - d0|_m^2 + sum p d^2 subject to the constraints, as one dense program with its own centre and metric."""
    step, gradients, weights = instance(seed, n, k, metric)
    price = torch.tensor(np.random.default_rng(seed).uniform(0, 9, n))
    short, priced = shorten(step, price, weights if metric == "diagonal" else None)
    torch.testing.assert_close(weights * (short - step) + price * short, torch.zeros_like(step), atol=1e-9, rtol=0)
    allowed, _ = constrain(short, gradients, metric=priced)
    # The objective, its square completed: (m + p) |d - m d0 / (m + p)|^2 and a constant.
    expected, _ = quadratic_program(weights * step / (weights + price), gradients, weights + price, two_sided=False)
    np.testing.assert_allclose(allowed.numpy(), expected, rtol=1e-6, atol=1e-6)
    assert worst(allowed, gradients) <= 1e-9


vectors = npst.arrays(np.float64, 5, elements=st.floats(-10, 10, width=32))


@given(step=vectors, gradient=vectors)
def test_one_gradient_closed_form(step, gradient):
    d, g = torch.tensor(step), torch.tensor(gradient)
    allowed = constrain(d, g[None])[0]
    if step @ gradient <= 0:
        assert torch.equal(allowed, d)
    else:
        np.testing.assert_allclose(allowed, step - (step @ gradient) / (gradient @ gradient) * gradient, atol=1e-9)
    np.testing.assert_allclose(constrain(allowed, g[None])[0], allowed, atol=1e-9)
    # A projection never makes a step longer, and the result never points away from the original step.
    assert allowed.norm() <= d.norm() + 1e-9
    assert float(d @ allowed) >= -1e-9 * float(d @ d)


@given(seed=st.integers(0, 10**6), k=st.integers(2, 6))
def test_degenerate_gradients_are_no_harm(seed, k):
    """Copies, multiples, zeros, opposites and nearly parallel gradients: the constraint still holds."""
    step, gradients, _ = instance(seed, 20, k)
    opposite, parallel = -gradients[1:2], gradients[1:2] + 1e-8 * gradients[:1].roll(1)
    again = [gradients, gradients[:1], 7.5 * gradients[:1], torch.zeros(1, 20).double()]
    allowed, _ = constrain(step, torch.cat([*again, parallel]))
    assert worst(allowed, torch.cat([*again, parallel])) <= 1e-9
    allowed, _ = constrain(step, torch.cat([*again, opposite]))
    assert worst(allowed, torch.cat([*again, opposite])) <= 1e-9
    assert abs(float(gradients[1] @ allowed)) <= 1e-9 * float(gradients[1].norm() * step.norm())
    torch.testing.assert_close(allowed, constrain(step, torch.cat([gradients, opposite]))[0], rtol=1e-6, atol=1e-6)


@given(seed=st.integers(0, 10**6), k=st.integers(1, 5))
def test_the_identity_where_nothing_conflicts(seed, k):
    step, gradients, weights = instance(seed, 20, k, "diagonal")
    gradients = -gradients * (gradients @ step).sign()[:, None]
    assert torch.equal(constrain(step, gradients, metric=weights)[0], step)
    assert torch.equal(constrain(step, torch.zeros_like(gradients), metric=weights)[0], step)
    assert torch.equal(constrain(step, torch.zeros_like(gradients), two_sided=True)[0], step)


@given(seed=st.integers(0, 10**6), k=st.integers(1, 4), two_sided=st.booleans())
def test_blocks_are_constrained_each_by_itself(seed, k, two_sided):
    step, gradients, weights = instance(seed, 21, k, "diagonal")
    blocks = [8, 0, 6, 7]
    allowed, slopes = constrain(step, gradients, metric=weights, two_sided=two_sided, blocks=blocks)
    parts = zip(step.split(blocks), gradients.split(blocks, 1), weights.split(blocks), strict=True)
    alone = [constrain(d, g, metric=m, two_sided=two_sided)[0] for d, g, m in parts if len(d)]
    torch.testing.assert_close(allowed, torch.cat(alone))
    torch.testing.assert_close(slopes.sum(0), gradients @ step)
    # What holds in every block holds for their sum.
    assert worst(allowed, gradients, two_sided) <= 1e-9


@pytest.mark.parametrize("k", [1, 4])
def test_vectors_cut_over_processes_exchange_sums_of_small_tensors_only(k):
    """Two threads stand for two processes: each holds a part, and `reduce` adds what both have."""
    step, gradients, weights = instance(0, 20, k, "diagonal")
    cuts, sent, barrier = (slice(0, 12), slice(12, 20)), [None, None], Barrier(2)

    def process(rank):
        def reduce(tensor):
            assert tensor.numel() <= (k + 1) ** 2
            sent[rank] = tensor
            barrier.wait()
            total = sent[0] + sent[1]
            barrier.wait()
            return total

        cut = cuts[rank]
        return constrain(step[cut], gradients[:, cut], metric=weights[cut], reduce=reduce)[0]

    with ThreadPoolExecutor(2) as pool:
        found = torch.cat(list(pool.map(process, range(2))))
    torch.testing.assert_close(found, constrain(step, gradients, metric=weights)[0])


def test_float32_holds_to_its_precision():
    step, gradients, weights = instance(0, 5000, 8, "diagonal")
    allowed, _ = constrain(step.float(), gradients.float(), metric=weights.float())
    assert worst(allowed.double(), gradients.float().double()) <= 1e-5


def test_numbers_that_are_not_finite_give_nan_and_no_error():
    step, gradients, _ = instance(0, 10, 3)
    step[0] = float("nan")
    assert constrain(step, gradients)[0].isnan().any()


def test_shortening_keeps_its_digits_in_float32():
    metric, price = torch.tensor([1e-8, 1e-4, 1.0]), torch.ones(3)
    found, _ = shorten(torch.ones(3), price, metric)
    expected, _ = shorten(torch.ones(3).double(), price.double(), metric.double())
    torch.testing.assert_close(found, expected.float(), rtol=1e-6, atol=0)


def test_inner_and_block_sums():
    a, b, m = (torch.tensor(values).double() for values in ([1.0, 2.0], [3.0, -1.0], [2.0, 5.0]))
    assert inner(a, b).item() == 1 and inner(a, b, m).item() == -4
    assert block_sums(torch.arange(5.0), [2, 0, 3]).tolist() == [1, 0, 9]
