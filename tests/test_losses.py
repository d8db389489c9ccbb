"""Losses against closed forms and finite differences, in float64."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli import losses

reals = st.floats(0, 20)
betas = st.floats(0.05, 5)


def f64(value):
    return torch.tensor(value, dtype=torch.float64)


@given(reals, reals, betas)
def test_bounded_forget_is_the_published_formula(nll, ref, beta):
    value = losses.bounded_forget(f64(nll), f64(ref), beta).item()
    ratio = math.exp(-nll) / math.exp(-ref)
    sigmoid = 1 / (1 + ratio**beta)
    assert value == pytest.approx(-(2 / beta) * math.log(sigmoid), rel=1e-9, abs=1e-9)
    assert value >= 0


@given(reals, reals, betas)
def test_bounded_forget_gradient_is_weighted_ascent(nll, ref, beta):
    x = torch.tensor(nll, dtype=torch.float64, requires_grad=True)
    losses.bounded_forget(x, f64(ref), beta).backward()
    p, q = math.exp(-nll * beta), math.exp(-ref * beta)
    assert x.grad.item() == pytest.approx(-2 * p / (p + q), rel=1e-9)


def test_bounded_forget_tends_to_ascent_for_small_beta():
    nll, ref, beta = torch.tensor([0.1, 2.0]).double(), torch.tensor([0.3, 0.2]).double(), 1e-6
    shifted = losses.bounded_forget(nll, ref, beta) - 2 * math.log(2) / beta
    torch.testing.assert_close(shifted, -(nll - ref), atol=1e-4, rtol=0)


def test_kl_against_a_loop_and_no_gradient_to_the_reference():
    generator = torch.Generator().manual_seed(0)
    ref = torch.randn(4, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    logits = torch.randn(4, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    p, q = ref.softmax(-1), logits.softmax(-1)
    naive = torch.stack([sum(p[i, j] * torch.log(p[i, j] / q[i, j]) for j in range(7)) for i in range(4)])
    found = losses.kl(ref, logits)
    torch.testing.assert_close(found, naive)
    found.sum().backward()
    assert ref.grad is None and logits.grad is not None
    assert losses.kl(ref, ref).abs().max() < 1e-12


def test_nll_against_log_softmax():
    logits, labels = torch.randn(5, 9, dtype=torch.float64), torch.tensor([0, 8, 3, 3, 1])
    naive = torch.stack([-torch.log_softmax(logits[i], 0)[labels[i]] for i in range(5)])
    torch.testing.assert_close(losses.nll(logits, labels), naive)


def test_shares_of_a_weighted_mean():
    values, weights = torch.tensor([1.0, 3.0], requires_grad=True), torch.tensor([1.0, 3.0])
    assert losses.share_of_mean(values, weights, weights.sum()).item() == 2.5
    shares = [losses.share_of_mean(values[i : i + 1], weights[i : i + 1], weights.sum()) for i in range(2)]
    assert sum(shares).item() == 2.5
    empty = losses.share_of_mean(values, torch.zeros(2), torch.zeros(()))
    empty.backward()
    assert empty.item() == 0 and values.grad.tolist() == [0, 0]


def test_per_sequence_is_a_sum_by_index():
    sums = losses.per_sequence(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 2, 0]), 3)
    assert sums.tolist() == [5, 0, 2]
