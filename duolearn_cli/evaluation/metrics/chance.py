"""Accuracy above chance in whole numbers, so that sums of differences from 1/3 or 1/5 are exactly zero when they
should.

In floating point such a sum leaves about 1e-16, and a ratio with it as denominator is a huge number instead of
undefined.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from math import lcm

# Chances are 1 / number of options, or a count divided by a number of items.
LARGEST_DENOMINATOR = 100_000


def common_unit(chances: Iterable[float]) -> int:
    """The smallest integer that makes every chance whole: 12 for chances of 1/3 and 1/4, 1 for no chances."""
    return lcm(*(Fraction(chance).limit_denominator(LARGEST_DENOMINATOR).denominator for chance in set(chances)))


def above_chance(hit: float, chance: float, unit: int) -> float:
    """``unit * (hit - chance)``, exact if `hit` is 0 or 1. `unit` is the `common_unit` of all chances in the sum."""
    return unit * hit - round(unit * chance)
