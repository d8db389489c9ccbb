"""The mechanism's sensitivity, clipping, noise and sampling: statistical tests, and comparisons with naive loops."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from duolearn_cli.privacy.mechanism import Mechanism, Terms, clip_factors, clipped_sum, unit_means
from duolearn_cli.privacy.randomness import Secure, Seeded

SIZES = st.lists(st.floats(-8, 8), min_size=1, max_size=6)


def rows_of(exponents, width=5):
    """Rows with norms from 1e-8 to 1e8."""
    generator = torch.Generator().manual_seed(len(exponents))
    directions = torch.nn.functional.normalize(torch.randn(len(exponents), width, generator=generator), dim=1)
    return directions * torch.tensor([10.0**e for e in exponents])[:, None]


@given(exponents=SIZES, clipping=st.sampled_from(["flat", "automatic"]), bound=st.floats(0.01, 100))
def test_one_more_row_moves_the_sum_by_at_most_the_bound(exponents, clipping, bound):
    rows = rows_of(exponents)
    whole, _ = clipped_sum(rows, bound, clipping)
    for i in range(len(rows)):
        without, _ = clipped_sum(torch.cat([rows[:i], rows[i + 1 :]]), bound, clipping)
        # Sums in float32 have rounding errors in proportion to `bound` times the number of rows.
        assert (whole - without).norm() <= bound * (1 + 1e-5 * len(rows))


def test_flat_clipping_is_the_formula():
    rows = rows_of([-1, 0.0, 2.0]).double()
    naive = sum(row * min(1, 0.7 / row.norm()) for row in rows)
    total, norms = clipped_sum(rows, 0.7)
    torch.testing.assert_close(total, naive)
    torch.testing.assert_close(norms, rows.norm(dim=1))


def test_automatic_clipping_keeps_directions_and_order():
    norms = torch.tensor([0.0, 1e-3, 1.0, 1e3])
    scaled = norms * clip_factors(norms, 2.0, "automatic")
    torch.testing.assert_close(scaled, 2 * norms / (norms + 0.02))
    assert (scaled < 2).all() and (scaled.diff() > 0).all()


@pytest.mark.parametrize("clipping", ["flat", "automatic"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 3e38])
def test_what_cannot_be_measured_contributes_nothing(clipping, bad):
    rows = torch.ones(3, 4)
    rows[1, 2] = bad
    if bad == 3e38:
        rows[1] = bad
    total, _ = clipped_sum(rows, 1.0, clipping)
    expected, _ = clipped_sum(rows[[0, 2]], 1.0, clipping)
    torch.testing.assert_close(total, expected)


def test_no_rows():
    total, norms = clipped_sum(torch.zeros(0, 4), 1.0)
    assert torch.equal(total, torch.zeros(4)) and norms.shape == (0,)


def test_unit_means():
    rows = torch.arange(8.0).reshape(4, 2)
    means = unit_means(rows, torch.tensor([0, 2, 0, 2]), 3)
    torch.testing.assert_close(means, torch.tensor([[2.0, 3.0], [0.0, 0.0], [4.0, 5.0]]))


def mechanism(source=None, sampling="poisson", rate=0.2, num_units=50):
    terms = {"retain": Terms(1.5, rate, num_units, sampling), "forget": Terms(3.0, 0.5, 10, sampling)}
    return Mechanism(terms, max_grad_norm=2.0, clipping="flat", randomness=source or Seeded(0))


@pytest.mark.parametrize("source", [Seeded(3), Secure(bytes(32))], ids=["seeded", "secure"])
def test_noise_has_the_promised_variance_and_is_added_once(source):
    engine = mechanism(source)
    zero = torch.zeros(100_000)
    expected = 50 * 0.2
    noise = engine.privatise("retain", 1, zero).double() * expected
    assert engine.noise("retain") == 3.0
    assert 1e-6 < stats.chi2.cdf(float((noise / 3.0).square().sum()), len(noise)) < 1 - 1e-6
    # The test has power: noise three per cent too small would fail it, and so would noise added twice.
    assert stats.chi2.cdf(float((noise / (3.0 / 0.97)).square().sum()), len(noise)) < 1e-6
    torch.testing.assert_close(engine.privatise("retain", 1, zero + 5), engine.privatise("retain", 1, zero) + 0.5)
    other_step, other_set = engine.privatise("retain", 2, zero), engine.privatise("forget", 1, zero)
    for other in (other_step, other_set):
        assert abs(float(torch.corrcoef(torch.stack([noise, other.double()]))[0, 1])) < 0.02


@pytest.mark.parametrize("source", [Seeded(4), Secure(bytes(32))], ids=["seeded", "secure"])
def test_poisson_rates(source):
    engine = mechanism(source)
    steps = 2000
    joins = torch.zeros(steps, 50)
    for step in range(steps):
        joins[step, engine.sample("retain", step + 1)] = 1
    counts = joins.sum(1)
    # Batch sizes are binomial, not fixed: mean 10, variance 8.
    assert counts.mean() == pytest.approx(10, abs=0.3)
    assert counts.var() == pytest.approx(8, rel=0.15)
    by_unit = joins.mean(0)
    assert (by_unit - 0.2).abs().max() < 5 * math.sqrt(0.16 / steps)
    pairs = (joins.T @ joins) / steps
    assert (pairs - torch.outer(by_unit, by_unit))[~torch.eye(50, dtype=torch.bool)].abs().max() < 0.03


def test_rare_units_make_empty_steps():
    engine = mechanism(rate=0.001)
    sizes = [len(engine.sample("retain", step)) for step in range(1, 200)]
    assert sizes.count(0) > 150 and max(sizes) >= 1


def test_shuffled_passes_hold_every_unit_once():
    engine = mechanism(sampling="shuffled", rate=1 / 7)
    for turn in range(3):
        parts = [engine.sample("retain", 7 * turn + k) for k in range(1, 8)]
        assert sorted(i for part in parts for i in part) == list(range(50))
    assert engine.sample("retain", 1) != engine.sample("retain", 8)


def test_the_divisor_does_not_depend_on_which_units_joined():
    assert Terms(1.0, 0.2, 50).expected == 10
