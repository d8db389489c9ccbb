"""The private step: clipped sums of unit contributions, with noise, over the expected number of units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from duolearn_cli.privacy.account import Entry
from duolearn_cli.privacy.randomness import Randomness

# Automatic clipping divides by the norm plus this (Bu et al. 2023, "Automatic clipping", AUTO-S), in units of C.
STABILITY = 0.01


def unit_means(rows: Tensor, unit: Tensor, num_units: int) -> Tensor:
    """The mean of each unit's rows, zero for one without. Shapes: rows [e, n], unit [e] (indices) -> [num_units, n]."""
    counts = rows.new_zeros(num_units).index_add_(0, unit, rows.new_ones(len(unit)))
    return rows.new_zeros(num_units, rows.shape[1]).index_add_(0, unit, rows / counts[unit, None])


def clip_factors(norms: Tensor, max_grad_norm: float, clipping: str) -> Tensor:
    """What contributions of these norms are scaled with, so that none is longer than `max_grad_norm`. Shape: [u].

    ``flat``: ``min(1, C / norm)``; ``automatic``: ``C / (norm + 0.01 C)``. Zero where the norm is not finite: what
    cannot be measured cannot be bounded.
    """
    if clipping == "automatic":
        factors = max_grad_norm / (norms + STABILITY * max_grad_norm)
    else:
        factors = (max_grad_norm / norms.clamp(min=1e-30)).clamp(max=1.0)
    return torch.where(norms.isfinite(), factors, 0.0)


def clipped_sum(rows: Tensor, max_grad_norm: float, clipping: str = "flat") -> tuple[Tensor, Tensor]:
    """The sum of clipped rows, and their norms before. Shapes: rows [u, n] -> [n], [u].

    Adding or removing a row moves the sum by `max_grad_norm` at most, whatever is in it.
    """
    norms = torch.linalg.vector_norm(rows, dim=1)
    factors = clip_factors(norms, max_grad_norm, clipping).to(rows.dtype)
    if not bool(norms.isfinite().all()):
        rows = torch.where(norms.isfinite()[:, None], rows, 0.0)
    return factors @ rows, norms


@dataclass(frozen=True, slots=True)
class Terms:
    """What one protected set's part of every step is made with.

    Attributes:
        rate: the expected share of the set's units in a step.
        num_units: how many units the set has; public.
    """

    noise_multiplier: float
    rate: float
    num_units: int
    sampling: str = "poisson"

    @property
    def expected(self) -> float:
        """The expected number of units a step: what sums are divided by, whoever has come."""
        return self.rate * self.num_units


@dataclass(frozen=True, eq=False)
class Mechanism:
    """Samples units and privatises sums. `terms` are those of the protected sets, by name."""

    terms: Mapping[str, Terms]
    max_grad_norm: float
    clipping: str
    randomness: Randomness

    @classmethod
    def of(cls, entry: Entry, randomness: Randomness) -> Mechanism:
        """The mechanism on the terms of an account's entry."""
        terms = {
            name: Terms(spending.noise_multiplier, spending.rate, entry.num_units[name], spending.sampling)
            for name, spending in entry.spendings.items()
        }
        return cls(terms, entry.max_grad_norm, entry.clipping, randomness)

    def sample(self, name: str, step: int) -> list[int]:
        """The units of a protected set that join a step: each by itself with probability `rate`, maybe none.

        Shuffled: in every ``1 / rate`` steps each unit joins one, drawn for it anew.
        """
        terms = self.terms[name]
        if terms.sampling == "poisson":
            joins = self.randomness.uniform(f"sample {name}", step, terms.num_units) <= terms.rate
            return np.flatnonzero(joins).tolist()
        parts = round(1 / terms.rate)
        turn, part = divmod(step - 1, parts)
        # By itself, as the sensitivity needs it: a unit more must not move others to other parts.
        drawn = np.ceil(self.randomness.uniform(f"order {name}", turn, terms.num_units) * parts) - 1
        return np.flatnonzero(drawn == part).tolist()

    def noise(self, name: str) -> float:
        """The standard deviation of the noise in each coordinate of a set's sum."""
        return self.terms[name].noise_multiplier * self.max_grad_norm

    def privatise(self, name: str, step: int, total: Tensor) -> Tensor:
        """Add noise to a set's clipped sum over all processes, and divide by the expected number of units.

        Every process adds the same noise, since they share the key: once in total. Shape: [n].
        """
        terms = self.terms[name]
        noise = self.randomness.normal(f"noise {name}", step, len(total), total.device)
        return (total + self.noise(name) * noise) / terms.expected
