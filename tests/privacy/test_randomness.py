"""Both sources of random numbers: their distributions, one stream for each purpose and step, reproducibility."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from duolearn_cli.privacy.randomness import Secure, Seeded

CPU = torch.device("cpu")
SOURCES = [Seeded(0), Secure(bytes(range(32)))]


@pytest.mark.parametrize("source", SOURCES, ids=["seeded", "secure"])
def test_distributions(source):
    normal = source.normal("noise retain", 1, 200_000, CPU).double().numpy()
    # With this many numbers, a variance three per cent off is more than ten standard deviations away.
    assert stats.chi2.sf((normal**2).sum(), len(normal)) == pytest.approx(0.5, abs=0.4999)
    assert stats.kstest(normal, "norm").pvalue > 1e-4
    assert abs(np.corrcoef(normal[:100_000], normal[100_000:])[0, 1]) < 0.015
    uniform = source.uniform("sample retain", 1, 200_000)
    assert stats.kstest(uniform, "uniform").pvalue > 1e-4
    assert uniform.min() > 0 and uniform.max() <= 1


@pytest.mark.parametrize("source", SOURCES, ids=["seeded", "secure"])
def test_streams_are_independent_and_repeat(source):
    streams = [("noise retain", 1), ("noise forget", 1), ("noise retain", 2)]
    draws = [source.normal(purpose, step, 1000, CPU) for purpose, step in streams]
    for i, draw in enumerate(draws):
        assert torch.equal(draw, source.normal(*streams[i], 1000, CPU))
        assert all(abs(float((draw * other).mean())) < 0.15 for other in draws[:i])
    assert source.normal("noise retain", 1, 7, CPU).shape == (7,)
    assert torch.equal(torch.get_rng_state(), torch.get_rng_state())


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    for source in SOURCES:
        source.normal("noise retain", 1, 10, CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_seeds_and_keys_matter():
    first = Seeded(0).normal("n", 1, 9, CPU)
    for other in (Seeded(1), Seeded(0, "unlearn 2")):
        assert not torch.equal(first, other.normal("n", 1, 9, CPU))
    keys = {Secure.new_key() for _ in range(20)}
    assert len(keys) == 20 and {len(key) for key in keys} == {32}
