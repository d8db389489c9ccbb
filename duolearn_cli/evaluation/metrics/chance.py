"""Answers above chance in whole numbers: a sum of differences from 1/3 or 1/5 is then zero where it should be zero.

In floating point such a sum leaves some 1e-16, and a ratio over it is a huge number instead of none.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from math import lcm

# Chances are 1 / number of options, or counts over numbers of items.
LARGEST_DENOMINATOR = 100_000


def common_unit(chances: Iterable[float]) -> int:
    """The least number that makes every chance whole: 12 for chances of 1/3 and 1/4; 1 without any."""
    return lcm(*(Fraction(chance).limit_denominator(LARGEST_DENOMINATOR).denominator for chance in set(chances)))


def above_chance(hit: float, chance: float, unit: int) -> float:
    """``unit * (hit - chance)``, exact for a hit of 0 or 1; `unit` is `common_unit` of all chances that are summed."""
    return unit * hit - round(unit * chance)
