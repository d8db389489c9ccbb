"""Figures over seeds keep their promises: a few cells in every test run, all of them in `make test-all`."""

from collections.abc import Iterable

import numpy as np
import pytest
from scipy import stats

from tests.statistics import likeness
from tests.statistics.cells import Cell
from tests.statistics.likeness import away
from tests.statistics.seeds import (
    SPREADS,
    World,
    behind,
    certain,
    comparison_cells,
    coverage_cells,
    score,
    share,
    told_apart,
    volume,
)

# From this many facts on intervals must cover what they claim; with fewer they carry no claim.
CLAIM = 30
# Of many cells some are off by chance: a cell is rejected only if it is less likely than this within the bounds.
DOUBT = 0.001


def hits(one, *given, draws, seed=0):
    rng = np.random.default_rng(seed)
    found = [one(rng, *given) for _ in range(draws)]
    return sum(own[0] if isinstance(own, tuple) else own for own in found)


def refused(count: int, draws: int, least: float = 0.0, most: float = 1.0) -> bool:
    """Whether `count` of `draws` is too unlikely for any rate between the bounds."""
    return stats.binom.cdf(count, draws, least) < DOUBT or stats.binom.sf(count - 1, draws, most) < DOUBT


def test_a_share_of_37_facts_over_three_seeds_is_covered():
    """The t-interval over seeds, used earlier, covered 30 to 60 % of these."""
    world = World(0.25, SPREADS["facts differ"])
    assert not refused(hits(share, world, 3, 37, draws=120), 120, least=0.92)


def test_the_mia_score_of_37_pairs_over_five_seeds_is_covered():
    """The t-interval over seeds, used earlier, covered 11 to 37 % of these and exceeded 1."""
    assert not refused(hits(score, 0.0, 0.0, 5, 37, draws=15), 15, least=0.92)


def test_equal_methods_are_rarely_told_apart_and_others_are():
    even, ahead = (World(right, SPREADS["facts differ"]) for right in (0.3, 0.1))
    assert not refused(hits(told_apart, [even, even], 5, 37, 0.95, draws=300), 300, most=0.06)
    assert not refused(hits(told_apart, [even, even], 3, 37, 0.995, draws=300), 300, most=0.006)
    assert hits(told_apart, [even, ahead], 5, 100, 0.95, draws=40) > 30


def test_among_equal_methods_the_luckiest_is_no_winner():
    """Judged by the facts that picked it, the best of twelve equal methods led significantly in 10 % and more."""
    even = World(0.3, SPREADS["facts differ"])
    assert not refused(hits(behind, [even] * 5, 3, 30, draws=15), 15, most=0.06)


def test_the_volume_of_a_method_at_chance_is_covered():
    world = World(0.25, SPREADS["facts differ"])
    assert not refused(hits(volume, world, 5, 37, draws=30), 30, least=0.92)


@pytest.mark.parametrize("kept", [0.995, 0.98])
def test_a_volume_near_one_of_seeds_that_agree_is_covered(kept):
    """Simulating facts alone gave no width if no fact was lost."""
    assert not refused(hits(certain, kept, 20, draws=40), 40, least=0.92)


@pytest.mark.parametrize("gone", [0.75, 1.25])
def test_a_run_that_is_not_near_gold_is_rarely_stopped(gone):
    """On either side of gold, over twenty looks together. A run that is like gold is stopped."""
    assert not refused(hits(away, gone, 20, 37, 0.25, draws=60), 60, most=0.05)
    assert hits(away, 1.0, 20, 37, 0.25, draws=20) > 15


def check(cells: Iterable[Cell]) -> None:
    """Check coverage of at least 92 % from `CLAIM` facts on, and false alarms of at most 1.2 times the nominal rate."""
    found = list(cells)
    assert found
    wrong = [
        cell
        for cell in found
        if (cell.kind == "coverage" and facts_of(cell) >= CLAIM and refused(count(cell), cell.draws, least=0.92))
        or (cell.kind == "false alarms" and refused(count(cell), cell.draws, most=1.2 * cell.nominal))
    ]
    assert not wrong


def count(cell: Cell) -> int:
    return round(cell.found * cell.draws)


def facts_of(cell: Cell) -> int:
    return int(cell.size.split(", ")[-1].split()[0])


@pytest.mark.slow
@pytest.mark.parametrize("facts", [15, 30, 37, 100, 450])
def test_means_over_seeds(facts):
    check(coverage_cells(400, [facts]))


@pytest.mark.slow
def test_comparisons():
    check(comparison_cells(100))


@pytest.mark.slow
def test_likeness():
    check(likeness.cells(500))
