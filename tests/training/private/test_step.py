"""Private steps, compared with one backward per record, and how far a record can move them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from duolearn_cli.errors import ConfigError
from duolearn_cli.files import groups
from duolearn_cli.methods.base import Attention, Method, Objective
from duolearn_cli.model.readings import nll_at
from duolearn_cli.training.coordinates import Coordinates, flatten
from duolearn_cli.training.private.separable import check_separable
from duolearn_cli.training.private.step import Unit
from tests.plain import plain_tokens
from tests.training.private.engine import one_unit_each, private_steps
from tests.training.test_unlearn import KEPT, drift, make_examples, method

METHODS = [*sorted(groups()["method"]), "kept attention"]


def chosen_method(name):
    return method("duolearn", *KEPT) if name == "kept attention" else method(name)


@pytest.fixture
def setup(fresh, study, tmp_path):
    def make(name="duolearn", count=4, **settings):
        chosen = chosen_method(name)
        forget, retain = make_examples(fresh, study, chosen.labels, attention=chosen.attention)
        units = {"forget": one_unit_each("forget", forget[:count]), "retain": one_unit_each("retain", retain[:count])}
        units = settings.pop("units", None) or units
        return private_steps(fresh, chosen, units, tmp_path, **settings)

    return make


def single(steps, example, loss):
    """Return the gradient of one loss of one example, from a backward of its own."""
    tokens = plain_tokens(steps.model, [example], steps.method.labels, steps.method.attention, item_by_item=True)
    value = getattr(steps.method.objective(tokens), loss)
    if not value.requires_grad:
        return flatten([torch.zeros_like(parameter) for parameter in steps.coordinates.parameters])
    found = torch.autograd.grad(value, steps.coordinates.parameters, allow_unused=True, materialize_grads=True)
    return flatten(found)


def naive(steps, name):
    """Return the clipped vectors of a set's units: the mean over a unit's examples of both losses' gradients."""
    bound, found = steps.mechanism.max_grad_norm, []
    for unit in steps.units[name]:
        parts = [single(steps, one, "forget") + single(steps, one, "preserve") for one in unit.examples]
        vector = torch.stack(parts).double().mean(0)
        found.append(vector * min(1.0, bound / float(vector.norm().clamp(min=1e-30))))
    return torch.stack(found)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("cut", [{}, {"micro_batch": 3}, {"pack_to": 100}], ids=["whole", "micro", "packed"])
def test_equals_the_naive_loop(setup, name, cut):
    steps = setup(name, clip=0.3, **cut)
    drift(steps.model)
    found = steps.gradients(1)
    for side, set_name in (("forget", "forget"), ("preserve", "retain")):
        expected = naive(steps, set_name).sum(0) / len(steps.units[set_name])
        # Forwards of one text and of several differ by rounding in float32, which a KL near its minimum makes more of.
        assert (getattr(found, side) - expected).norm() <= 1e-4 * expected.norm() + 1e-9, side
    assert all(parameter.grad is None for parameter in steps.coordinates.parameters)


@pytest.mark.parametrize("protected", ["retain", "forget"])
def test_an_unprotected_set_keeps_its_two_gradients_apart(setup, protected):
    steps = setup(clip=0.3, protected=(protected,), micro_batch=3)
    found, bare = steps.gradients(1), "forget" if protected == "retain" else "retain"
    expected = {
        side: torch.stack([single(steps, unit.examples[0], side) for unit in steps.units[bare]]).double().mean(0)
        for side in ("forget", "preserve")
    }
    own = {"forget": "forget", "retain": "preserve"}[protected]
    expected[own] = expected[own] + naive(steps, protected).sum(0) / len(steps.units[protected])
    for side, vector in expected.items():
        assert (getattr(found, side) - vector).norm() <= 2e-5 * vector.norm(), side


def test_a_unit_is_the_mean_of_its_examples(setup, fresh, study):
    forget, retain = make_examples(fresh, study, "text")
    units = {
        "forget": [Unit("forget", forget[:3]), Unit("forget", forget[3:4])],
        "retain": one_unit_each("retain", retain),
    }
    for cut in (None, 1):
        steps = setup(units=units, clip=0.3, micro_batch=cut)
        expected = naive(steps, "forget").sum(0) / 2
        assert (steps.gradients(1).forget - expected).norm() <= 2e-5 * expected.norm()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_record_more_moves_its_own_side_by_the_bound_at_most(setup, fresh, study, monkeypatch, precision):
    """This holds for a record with a huge loss or NaN too. The gradient of the other side stays the same."""
    monkeypatch.setattr(fresh, "precision", precision)
    forget, retain = make_examples(fresh, study, "text")
    units = {"forget": one_unit_each("forget", forget), "retain": one_unit_each("retain", retain)}
    without = setup(units=units, clip=0.5).gradients(1)
    for size in (1.0, 1e6, math.nan):
        odd = retain[0].reference
        record = replace(retain[0], reference=replace(odd, target_hidden=odd.target_hidden * size))
        more = setup(units=units | {"retain": [*units["retain"], Unit("retain", [record])]}, clip=0.5).gradients(1)
        # The divisor is a constant of the run; here it follows the number of units.
        moved = 7 * more.preserve - 6 * without.preserve
        rounding = 1e-4 if precision == "fp32" else 0.2
        assert moved.norm() <= 0.5 + rounding
        assert (more.forget - without.forget).norm() <= rounding * without.forget.norm()
        assert torch.isfinite(more.preserve).all()
        if math.isnan(size):
            assert moved.norm() <= rounding


def test_an_empty_step_is_noise_alone(setup):
    steps = setup(noise=2.0, rate=1e-9, clip=0.5)
    found = steps.gradients(1)
    scale = 2.0 * 0.5 / (1e-9 * 4)
    for vector in (found.forget, found.preserve):
        assert (vector / scale).square().mean() == pytest.approx(1, abs=0.02)
    assert found.losses["units_retain"] == 0
    assert not torch.equal(found.forget, found.preserve)
    steps = setup(protected=("retain",), rate=1e-9)
    assert steps.gradients(1).forget.norm() > 0


def test_noise_is_added_once_and_scaled_by_the_expected_number(setup):
    quiet, loud = (setup(noise=noise, clip=0.5, micro_batch=2).gradients(1) for noise in (0.0, 3.0))
    for side in ("forget", "preserve"):
        noise = (getattr(loud, side) - getattr(quiet, side)) * 4 / (3.0 * 0.5)
        assert noise.square().mean() == pytest.approx(1, abs=0.02)


def test_chosen_coordinates_are_clipped_alone(setup, fresh):
    index = torch.arange(0, 3000, 7)
    steps = setup(clip=0.01, coordinates=Coordinates(fresh.named_adapter, index))
    full = setup(clip=1e9)
    vectors = naive(full, "retain")[:, index]
    expected = sum(v * min(1.0, 0.01 / float(v.norm())) for v in vectors) / 4
    assert (steps.gradients(1).preserve - expected).norm() <= 2e-5 * expected.norm()


def test_the_fisher_sees_the_privatised_gradient_alone(setup):
    found = setup(noise=1.0, needs_fisher=True).gradients(1)
    assert torch.equal(found.squares, found.preserve.square())


def test_the_history_tells_clipping_and_signal(setup):
    found = setup(noise=1.0, clip=1e-4).gradients(1).losses
    assert found["clip_rate_retain"] == found["clip_rate_forget"] == 1
    assert found["units_retain"] == found["units_forget"] == 4
    assert 0 < found["signal_to_noise_retain"] < 1
    losses = setup().gradients(1).losses
    assert {"forget_loss", "preserve_loss", "target", "general_medical"} <= set(losses)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_separable(name):
    check_separable(chosen_method(name))


def every_nll(tokens):
    return tokens.read(nll_at(torch.ones_like(tokens.is_forget)))[0]


class Coupled(Method):
    labels = "answer"

    def objective(self, tokens):
        nll = every_nll(tokens)
        return Objective(-nll[tokens.is_forget].sum() / max(1, int(tokens.is_forget.sum())), nll.sum())


class Quantile(Coupled):
    def objective(self, tokens):
        nll = every_nll(tokens)
        return Objective(-nll.sum(), (nll * (nll > nll.quantile(0.5))).sum())


class OfTheStep(Coupled):
    def objective(self, tokens):
        nll = every_nll(tokens)
        return Objective(nll.sum(), tokens.step.is_forget.sum() * nll.sum())


def test_a_method_that_asks_for_the_step_is_refused():
    with pytest.raises(ConfigError, match=r"OfTheStep has no loss in a private step.*tokens\.mean"):
        check_separable(OfTheStep())


@pytest.mark.parametrize("coupled", [Coupled(), Quantile()])
def test_a_loss_that_couples_records_is_refused(coupled):
    with pytest.raises(ConfigError, match=r"is not the sum of their losses.*tokens\.mean"):
        check_separable(coupled)


class StraightThrough(Coupled):
    """The loss is a sum over records, but the gradient of each depends on the number of the others."""

    def objective(self, tokens):
        nll = every_nll(tokens)
        return Objective(nll.sum(), nll.sum() + (tokens.num_sequences - 1) * (nll - nll.detach()).sum())


class Remembering(Coupled):
    """Its gradient depends on how many records it has seen before."""

    def __init__(self):
        self.seen = 0

    def objective(self, tokens):
        self.seen += tokens.num_sequences
        nll = every_nll(tokens)
        return Objective(nll.sum() + (nll - nll.detach()).sum() / self.seen, nll.sum())


class Steered(Coupled):
    """The activations of each item are steered away from the mean over all items."""

    attention = Attention(depth=0.5)

    def objective(self, tokens):
        inner = tokens.activations[tokens.is_forget | ~tokens.is_forget]
        around = inner - inner.detach().mean(0)
        return Objective(around.square().sum() - around.square().sum().detach(), every_nll(tokens).sum())


@pytest.mark.parametrize("method", [StraightThrough(), Remembering(), Steered()])
def test_a_gradient_that_couples_records_is_refused_though_the_loss_does_not(method):
    with pytest.raises(ConfigError, match=r"gradient of its .* depends on other items, or on earlier steps"):
        check_separable(method)
