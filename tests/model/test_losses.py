"""Losses against closed forms and finite differences, in float64."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.model import losses

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


@given(reals, betas, st.floats(0, 5))
def test_margin_forget_is_the_published_formula_and_its_gradient_weighted_ascent(mean_nll, beta, gamma):
    x = torch.tensor(mean_nll, dtype=torch.float64, requires_grad=True)
    value = losses.margin_forget(x, beta, gamma)
    value.backward()
    sigmoid = 1 / (1 + math.exp(-(beta * mean_nll - gamma)))
    assert value.item() == pytest.approx(-(2 / beta) * math.log(sigmoid), rel=1e-9, abs=1e-9)
    assert x.grad.item() == pytest.approx(-2 * (1 - sigmoid), rel=1e-9, abs=1e-12)


def test_weights_of_tokens_at_the_edges():
    nll = torch.tensor([0.0, 1e-18, 1e-9, 50.0, 1e4], dtype=torch.float64, requires_grad=True)
    assert losses.confidence(nll, 0.0).tolist() == losses.doubt(nll, 0.0).tolist() == [1] * 5
    # 1 - p is exact even if p rounds to one.
    torch.testing.assert_close(losses.doubt(nll, 1.0), f64([0, 1e-18, 1e-9, 1, 1]), rtol=1e-9, atol=0)
    torch.testing.assert_close(losses.confidence(nll, 2.0), f64([1, 1, 1, math.exp(-100), 0]))
    assert not losses.confidence(nll, 1.0).requires_grad and not losses.doubt(nll, 1.0).requires_grad


def test_kl_to_lowered_only_moves_the_label_and_does_not_change_its_arguments():
    generator = torch.Generator().manual_seed(0)
    ref, logits = torch.randn(2, 4, 7, generator=generator, dtype=torch.float64)
    labels, before = torch.tensor([0, 6, 3, 3]), ref.clone()
    q = (ref - 2.5 * torch.nn.functional.one_hot(labels, 7)).softmax(-1)
    expected = (q * (q.log() - logits.log_softmax(-1))).sum(-1)
    torch.testing.assert_close(losses.kl_to_lowered(ref, logits, labels, 2.5), expected)
    assert torch.equal(ref, before)
    assert torch.equal(losses.kl_to_lowered(ref, logits, labels, 0.0), losses.kl(ref, logits))
    assert losses.kl_to_lowered(ref[:0], logits[:0], labels[:0], 1.0).shape == (0,)


@given(st.integers(0, 500), st.sampled_from([0.1, 1.0, 30.0]))
def test_kl_of_others_is_the_kl_given_that_it_is_not_the_label(seed, scale):
    generator = torch.Generator().manual_seed(seed)
    ref, logits = (torch.randn(4, 6, generator=generator, dtype=torch.float64) * scale for _ in range(2))
    labels = torch.randint(6, (4,), generator=generator)
    logits.requires_grad_()
    divergence = losses.kl_of_others(ref, logits, labels)
    values = divergence.tolist()
    for i, label in enumerate(labels.tolist()):
        others = [k for k in range(6) if k != label]
        p, log_q = torch.softmax(ref[i, others], 0), torch.log_softmax(logits.detach()[i, others], 0)
        expected = sum(float(a * (a.log() - b)) for a, b in zip(p, log_q, strict=True) if a > 0)
        assert values[i] == pytest.approx(expected, rel=1e-9, abs=1e-9)
    (gradient,) = torch.autograd.grad(divergence.sum(), logits)
    assert gradient.isfinite().all()
    # The label gets no gradient, and its logit has no influence.
    assert gradient[torch.arange(4), labels].abs().max() == 0
    moved = logits.detach().clone()
    moved[torch.arange(4), labels] += 5
    torch.testing.assert_close(losses.kl_of_others(ref, moved, labels), divergence.detach())
    assert losses.kl_of_others(ref[:0], logits[:0], labels[:0]).shape == (0,)


def test_squared_distance_is_of_float32_at_least_and_has_no_gradient_to_the_aim():
    outputs = torch.tensor([[1.0, 2.0], [0.0, 1.0]], dtype=torch.bfloat16, requires_grad=True)
    aim = torch.tensor([1.0, 0.5], requires_grad=True)
    distances = losses.squared_distance(outputs, aim)
    assert distances.dtype == torch.float32 and distances.tolist() == [2.25, 1.25]
    distances.sum().backward()
    assert aim.grad is None and outputs.grad.tolist() == [[0, 3], [-2, 1]]


def test_kl_against_a_loop_and_no_gradient_to_the_reference():
    generator = torch.Generator().manual_seed(0)
    ref = torch.randn(4, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    logits = torch.randn(4, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    p, q = ref.softmax(-1), logits.softmax(-1)
    naive = torch.stack([sum(p[i, j] * torch.log(p[i, j] / q[i, j]) for j in range(7)) for i in range(4)])
    divergence = losses.kl(ref, logits)
    torch.testing.assert_close(divergence, naive)
    divergence.sum().backward()
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


@given(reals, reals)
def test_huber_is_the_published_formula_and_pulls_from_both_sides(nll, aim):
    x = torch.tensor(nll, dtype=torch.float64, requires_grad=True)
    value = losses.huber(x, f64(aim))
    value.backward()
    away = nll - aim
    assert value.item() == pytest.approx(away**2 / 2 if abs(away) < 1 else abs(away) - 1 / 2, abs=1e-12)
    assert x.grad.item() == pytest.approx(min(max(away, -1.0), 1.0), abs=1e-12)
