"""Scores of single texts, against plain loops and in edge cases."""

import math
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.evaluation.metrics.tokens import compressed_bytes, extraction_strength, min_k, min_k_plus

log_ps = st.lists(st.floats(-9, 0), min_size=1, max_size=30)


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_extraction_strength_is_what_is_left_after_the_least_prefix(greedy):
    n = len(greedy)
    least = min(k for k in range(n + 1) if all(greedy[k:]))
    assert extraction_strength(greedy) == pytest.approx(1 - least / n)


def test_extraction_strength_at_its_edges():
    assert extraction_strength([True] * 4) == 1 and extraction_strength([False]) == 0
    assert extraction_strength([True, True, False]) == 0 and math.isnan(extraction_strength([]))


@given(log_ps, st.sampled_from([0.1, 0.2, 0.5, 1.0]))
def test_min_k_is_the_mean_of_the_least_likely(log_p, share):
    count = max(1, math.floor(share * len(log_p)))
    assert min_k(log_p, share) == pytest.approx(sum(sorted(log_p)[:count]) / count)


@given(log_ps)
def test_min_k_plus_standardises_first(log_p):
    mean, deviation = [-2.0 - i for i in range(len(log_p))], [0.5 + i for i in range(len(log_p))]
    values = sorted((p - m) / d for p, m, d in zip(log_p, mean, deviation, strict=True))
    count = max(1, len(log_p) // 5)
    assert min_k_plus(log_p, mean, deviation) == pytest.approx(sum(values[:count]) / count)


def test_edges():
    assert min_k([-3.0]) == -3 and min_k([-1.0] * 10) == -1
    assert math.isnan(min_k([])) and math.isnan(min_k_plus([], [], []))
    # A certain prediction has no spread, and the score is finite nevertheless.
    assert min_k_plus([0.0], [0.0], [0.0]) == 0
    assert compressed_bytes("femoral artery") == len(zlib.compress(b"femoral artery")) and compressed_bytes("") > 0
