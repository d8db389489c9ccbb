"""Executed steps of torch optimisers in float64, compared with an explicit quadratic program."""

from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from duolearn_cli.config.unlearning import OPTIMIZERS, WITH_MOMENTUM, GeometryConfig, UnlearnConfig
from duolearn_cli.model.distributed import Processes
from duolearn_cli.training.constraint import curvature
from duolearn_cli.training.coordinates import Coordinates
from duolearn_cli.training.gradients import Gradients
from duolearn_cli.training.update import Update
from scripts.studies.geometry_toy import SETTINGS, K, U, trajectories
from tests.training.test_geometry import quadratic_program

SIZES = (4, 5)


def make(geometry, seed=0, index=None, **settings):
    """Return an update over two float64 matrices in two layers (9 coordinates), and its parameters."""
    generator = torch.Generator().manual_seed(seed)
    named = [
        (f"model.layers.{i}.q_proj.lora_A.weight", nn.Parameter(torch.randn(size, 1, generator=generator).double()))
        for i, size in enumerate(SIZES)
    ]
    coordinates = Coordinates(named, index)
    settings = UnlearnConfig(learning_rate=0.1, **settings)
    return Update(coordinates, settings, geometry, Processes(Accelerator(cpu=True))), [p for _, p in named]


def conflicting(generator, n=9):
    """Return a forget and a preserve gradient that conflict."""
    preserve = torch.randn(n, generator=generator).double()
    return Gradients(torch.randn(n, generator=generator).double() - 2 * preserve, preserve)


def flat(parameters):
    return torch.cat([parameter.detach().reshape(-1) for parameter in parameters])


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
@pytest.mark.parametrize("metric", ["euclidean", "optimizer"])
@given(seed=st.integers(0, 10**6), decay=st.sampled_from([0.0, 0.1]), max_norm=st.sampled_from([0.5, 1e9]))
def test_executed_steps_solve_the_quadratic_program(optimizer, metric, seed, decay, max_norm):
    """With momentum history, weight decay and clipping; the basis grows from step to step."""
    geometry = GeometryConfig(metric=metric, basis_size=3)
    momentum = 0.9 if optimizer in WITH_MOMENTUM else 0.0
    update, parameters = make(
        geometry, seed, optimizer=optimizer, weight_decay=decay, max_grad_norm=max_norm, momentum=momentum
    )
    generator = torch.Generator().manual_seed(seed)
    seen = []
    for step in range(1, 5):
        before = flat(parameters)
        found = conflicting(generator)
        move = update.apply(step, 0.1, found)
        executed = flat(parameters) - before
        seen = [*seen[-3:], found.preserve]
        gradients = torch.stack(seen)
        slopes = gradients @ executed / (gradients.norm(dim=1) * move.wanted.norm())
        assert float(slopes.max()) <= 1e-9
        weights = curvature(update._optimizer, update.coordinates.values) if metric == "optimizer" else None
        weights = torch.ones(9).double() if weights is None else weights / weights.mean()
        expected, distance = quadratic_program(move.wanted, gradients, weights, two_sided=False)
        found_distance = float((weights * (executed - move.wanted).square()).sum())
        assert found_distance == pytest.approx(distance, rel=1e-6, abs=1e-12)
        torch.testing.assert_close(executed, torch.as_tensor(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("optimizer", sorted(set(OPTIMIZERS) - {"SGD"}))
def test_the_optimisers_metric_is_the_one_in_which_its_step_is_steepest(optimizer):
    """Under a constant gradient momentum is that gradient: the step must be it over the metric, times a constant."""
    update, parameters = make(GeometryConfig(space="none"), optimizer=optimizer, max_grad_norm=1e9)
    gradient = torch.tensor([1e-3, 1e-2, 0.1, 1, 10, -1e-3, -0.1, 3, 7]).double()
    for step in range(1, 8):
        before = flat(parameters)
        update.apply(step, 0.1, Gradients(gradient, torch.zeros(9).double()))
        metric = curvature(update._optimizer, update.coordinates.values)
        constant = (flat(parameters) - before) * metric / gradient
        torch.testing.assert_close(constant, constant[:1].expand(9), rtol=1e-6, atol=0)


def test_a_step_of_adam_along_a_projected_gradient_may_conflict():
    """This is why the executed step must be constrained, and not the gradient."""
    generator = torch.Generator().manual_seed(0)
    update, parameters = make(GeometryConfig(space="gradient"))
    conflicts = []
    for step in range(1, 30):
        before, found = flat(parameters), conflicting(generator)
        move = update.apply(step, 0.1, found)
        assert float(move.allowed @ found.preserve) <= 1e-9
        conflicts.append(float((flat(parameters) - before) @ found.preserve) > 1e-9)
    assert sum(conflicts) > 5


def test_plain_sgd_needs_no_constraint_on_the_executed_step():
    generator = torch.Generator().manual_seed(0)
    update, parameters = make(GeometryConfig(space="gradient"), optimizer="SGD")
    for step in range(1, 10):
        before, found = flat(parameters), conflicting(generator)
        update.apply(step, 0.1, found)
        assert float((flat(parameters) - before) @ found.preserve) <= 1e-12


def test_no_constraint_is_the_plain_optimiser():
    generator = torch.Generator().manual_seed(0)
    update, parameters = make(GeometryConfig(space="none"), weight_decay=0.1, max_grad_norm=1e9)
    twin = nn.Parameter(flat(parameters).clone())
    optimizer = torch.optim.AdamW([twin], lr=0.1, weight_decay=0.1)
    for step in range(1, 6):
        found = conflicting(generator)
        update.apply(step, 0.1, found)
        twin.grad = found.forget + found.preserve
        optimizer.step()
        torch.testing.assert_close(flat(parameters), twin.detach(), rtol=0, atol=0)


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_scope_and_chosen_coordinates(scope):
    """The constraint holds in each layer separately, and coordinates that were not chosen never move."""
    generator = torch.Generator().manual_seed(1)
    index = torch.tensor([0, 2, 3, 5, 8])
    update, parameters = make(GeometryConfig(scope=scope), index=index, weight_decay=0.3)
    start = flat(parameters)
    by_layer_obeyed = []
    for step in range(1, 8):
        before = flat(parameters)
        found = conflicting(generator, 5)
        update.apply(step, 0.1, found)
        executed = (flat(parameters) - before)[index]
        assert float(executed @ found.preserve) <= 1e-12
        slopes = [float(d @ g) for d, g in zip(executed.split([3, 2]), found.preserve.split([3, 2]), strict=True)]
        by_layer_obeyed.append(max(slopes) <= 1e-12)
    assert all(by_layer_obeyed) == (scope == "layer")
    others = torch.ones(9, dtype=torch.bool).index_fill(0, index, False)
    assert torch.equal(flat(parameters)[others], start[others])
    assert not torch.equal(flat(parameters)[index], start[index])


def test_two_sided_keeps_the_preserve_loss_as_it_is():
    generator = torch.Generator().manual_seed(0)
    update, parameters = make(GeometryConfig(sides="two", basis_size=2))
    before = flat(parameters)
    found = [conflicting(generator) for _ in range(3)]
    for step, each in enumerate(found, start=1):
        before = flat(parameters)
        update.apply(step, 0.1, each)
    executed = flat(parameters) - before
    for each in found:
        assert abs(float(executed @ each.preserve)) <= 1e-10


def test_the_basis_is_refreshed_at_its_period_and_bounded():
    generator = torch.Generator().manual_seed(0)
    update, _ = make(GeometryConfig(basis_size=2, basis_every=3))
    sizes, kept = [], []
    for step in range(1, 13):
        found = conflicting(generator)
        move = update.apply(step, 0.1, found)
        kept += [found.preserve / found.preserve.norm()] if step % 3 == 0 else []
        sizes.append(move.slopes.shape[1] - 1)
    # The basis that a step meets was made by the steps before it.
    assert sizes == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 2]
    found = sorted(update.constraint.state()["basis"].tolist())
    torch.testing.assert_close(torch.tensor(found), torch.tensor(sorted(t.tolist() for t in kept[-2:])))


def test_the_fisher_is_a_mean_and_then_a_running_mean():
    update, _ = make(GeometryConfig(metric="fisher", fisher_decay=0.5))
    generator = torch.Generator().manual_seed(0)
    squares = [torch.rand(9, generator=generator).double() for _ in range(4)]
    for each in squares:
        update.constraint.observe(each)
    expected = (squares[0] + squares[1]) / 2
    for each in squares[2:]:
        expected = 0.5 * expected + 0.5 * each
    torch.testing.assert_close(update.constraint.state()["fisher"], expected)


def test_the_fisher_metric_corrects_where_retaining_does_not_care():
    """The correction changes only the coordinates with a small Fisher."""
    geometry = GeometryConfig(metric="fisher", damping=1e-9)
    update, parameters = make(geometry, optimizer="SGD", max_grad_norm=1e9)
    squares = torch.where(torch.arange(9) < 4, 1e6, 1e-6).double()
    preserve, before = torch.ones(9).double(), flat(parameters)
    move = update.apply(1, 0.1, Gradients(-3 * preserve, preserve, squares))
    taken = move.wanted - (flat(parameters) - before)
    assert float(taken[:4].abs().max()) < 1e-9 < float(taken[4:].min())
    assert float((flat(parameters) - before) @ preserve) == pytest.approx(0, abs=1e-9)


def test_the_fisher_price_shortens_steps_where_retaining_is_sensitive():
    squares = torch.where(torch.arange(9) < 4, 4.0, 1.0).double()
    found = Gradients(torch.ones(9).double(), torch.zeros(9).double(), squares)
    geometry = GeometryConfig(fisher_price=2, damping=1e-9)
    update, parameters = make(geometry, optimizer="SGD", max_grad_norm=1e9)
    before = flat(parameters)
    move = update.apply(1, 0.1, found)
    expected = move.wanted / (1 + 2 * squares / squares.mean())
    torch.testing.assert_close(flat(parameters) - before, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
def test_two_quadratics_with_a_known_answer(optimizer):
    """Plain gradient difference damages the preserve loss, the constrained step does not (studies/geometry_toy.py).

    At the start the preserve gradient is zero, so the first step is free and costs its second order. From then on no
    step leads away from the line where nothing is lost; unless it leads beyond it, |k'd| > 2 |k'x|, which these rates
    are too small for, the loss stays under that of the first step.
    """
    found = trajectories(optimizer)
    plain, constrained = found["gradient difference"], found["constrained step, optimiser's metric"]
    assert float(plain.preserve[-1]) == pytest.approx(float((K @ U) ** 2 / 8), rel=1e-3)
    assert bool((constrained.preserve <= constrained.preserve[1] * (1 + 1e-9)).all())
    assert float(constrained.preserve[1]) <= 0.5 * float((K @ constrained.points[1]) ** 2) + 1e-12
    assert float(constrained.preserve.max()) < 2e-3 * float(plain.preserve[-1])
    # It ends at the best point of the line on which the first step has left it.
    best = found["best without damage"].points[0]
    assert float((constrained.points[-1] - best).norm()) <= float(K @ constrained.points[1]) + 0.02


def test_with_adam_the_gradient_alone_and_the_nearest_step_do_worse():
    """A constrained gradient does more damage; the Euclidean projection of Adam's step need not serve forgetting."""
    found = trajectories("AdamW")
    best = found["best without damage"].points[0]
    gradient, nearest, own = (found[name] for name in list(SETTINGS)[1:])
    assert gradient.preserve[-1] > 10 * own.preserve[-1]
    assert (nearest.points[-1] - best).norm() > 5 * (own.points[-1] - best).norm()


@pytest.mark.parametrize("decay", [0.0, 0.2, 0.9])
@given(seed=st.integers(0, 10**6))
def test_rectified_gradients_are_grus_closed_form(decay, seed):
    """With plain SGD the step is the gradient it was given: u - min(0, <u, r>) / |r|^2 r, r the running mean."""
    geometry = GeometryConfig(space="gradient", follow="forget", basis_size=0, gradient_decay=decay)
    update, parameters = make(geometry, seed, optimizer="SGD", max_grad_norm=1e9)
    generator = torch.Generator().manual_seed(seed)
    mean = torch.zeros(9).double()
    for step in range(1, 6):
        found, before = conflicting(generator), flat(parameters)
        mean = decay * mean + (1 - decay) * found.preserve
        update.apply(step, 0.1, found)
        slope = found.forget @ mean
        expected = found.forget - slope.clamp(max=0) / mean.square().sum() * mean
        rectified = (before - flat(parameters)) / 0.1
        torch.testing.assert_close(rectified, expected, rtol=1e-6, atol=1e-9)
        assert float(rectified @ mean) >= -1e-9 * float(rectified.norm() * mean.norm())
        # Where nothing conflicts the forget gradient is followed as it is.
        if slope >= 0:
            torch.testing.assert_close(rectified, found.forget)


def test_a_running_mean_of_gradients_goes_on_where_its_state_was_taken():
    geometry = GeometryConfig(space="gradient", follow="forget", gradient_decay=0.5, basis_size=2)
    generator = torch.Generator().manual_seed(0)
    steps = [conflicting(generator) for _ in range(6)]
    whole, parameters = make(geometry)
    for i, found in enumerate(steps, 1):
        whole.apply(i, 0.1, found)
    ended = flat(parameters)
    first, parameters = make(geometry)
    for i, found in enumerate(steps[:3], 1):
        first.apply(i, 0.1, found)
    resumed = Update(first.coordinates, UnlearnConfig(learning_rate=0.1), geometry, Processes(Accelerator(cpu=True)))
    resumed.restore(first.state())
    for i, found in enumerate(steps[3:], 4):
        resumed.apply(i, 0.1, found)
    assert torch.equal(flat(parameters), ended)
