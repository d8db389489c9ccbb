"""The Gaussian mechanism of a private step: clip each unit's gradient, sum, add noise, divide (DP-SGD).

Abadi et al. 2016, "Deep learning with differential privacy". The divisor is the expected number of units, a constant:
the actual number of units in a step depends on the data, and dividing by it would leak and break the sensitivity bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from duolearn_cli.privacy.account import Entry
from duolearn_cli.privacy.randomness import Randomness

# Automatic clipping divides by the norm plus this much, in units of C (Bu et al. 2023, "Automatic clipping", AUTO-S).
STABILITY = 0.01


def unit_means(rows: Tensor, unit: Tensor, num_units: int) -> Tensor:
    """The mean of each unit's rows; zero for a unit without rows.

    Shapes: rows [e, n], unit [e] (the index of each row's unit) -> [num_units, n].
    """
    counts = rows.new_zeros(num_units).index_add_(0, unit, rows.new_ones(len(unit)))
    return rows.new_zeros(num_units, rows.shape[1]).index_add_(0, unit, rows / counts[unit, None])


def clip_factors(norms: Tensor, max_grad_norm: float, clipping: str) -> Tensor:
    """The factors that scale contributions so that none is longer than C = `max_grad_norm`. Shapes: [u] -> [u].

    ``flat``: ``min(1, C / norm)``. ``automatic``: ``C / (norm + 0.01 C)`` (AUTO-S). Zero where the norm is not finite:
    a contribution that cannot be measured cannot be bounded.
    """
    if clipping == "automatic":
        factors = max_grad_norm / (norms + STABILITY * max_grad_norm)
    else:
        factors = (max_grad_norm / norms.clamp(min=1e-30)).clamp(max=1.0)
    return torch.where(norms.isfinite(), factors, 0.0)


def clipped_sum(rows: Tensor, max_grad_norm: float, clipping: str = "flat") -> tuple[Tensor, Tensor]:
    """Clip each row and sum. Return the sum and the norms before clipping. Shapes: rows [u, n] -> [n], [u].

    Adding or removing one row moves the sum by at most `max_grad_norm`, whatever the row holds.
    """
    norms = torch.linalg.vector_norm(rows, dim=1)
    factors = clip_factors(norms, max_grad_norm, clipping).to(rows.dtype)
    # A factor of zero does not remove NaN or infinity (0 * inf is NaN): the rows themselves are zeroed.
    if not bool(norms.isfinite().all()):
        rows = torch.where(norms.isfinite()[:, None], rows, 0.0)
    return factors @ rows, norms


@dataclass(frozen=True, slots=True)
class Terms:
    """The parameters of one protected set's noisy sum.

    Attributes:
        noise_multiplier: the noise's standard deviation in units of the clipping norm.
        rate: the expected share of the set's units in a step.
        num_units: the number of units in the set; public.
        sampling: ``poisson`` or ``shuffled`` (`accounting.Spending`).
    """

    noise_multiplier: float
    rate: float
    num_units: int
    sampling: str = "poisson"

    @property
    def expected(self) -> float:
        """The expected number of units in a step: the divisor of every sum, whichever units joined."""
        return self.rate * self.num_units


@dataclass(frozen=True, eq=False)
class Mechanism:
    """Samples units and privatises their sums. `terms` holds the parameters of each protected set, by name."""

    terms: Mapping[str, Terms]
    max_grad_norm: float
    clipping: str
    randomness: Randomness

    @classmethod
    def of(cls, entry: Entry, randomness: Randomness) -> Mechanism:
        """The mechanism that `entry` accounts for."""
        terms = {
            name: Terms(spending.noise_multiplier, spending.rate, entry.num_units[name], spending.sampling)
            for name, spending in entry.spendings.items()
        }
        return cls(terms, entry.max_grad_norm, entry.clipping, randomness)

    def sample(self, name: str, step: int) -> list[int]:
        """The indices of the units of set `name` that join `step` (from 1); may be empty.

        ``poisson``: each unit joins independently with probability `rate`. ``shuffled``: each unit joins one step of
        every pass of ``1 / rate`` steps, drawn anew in each pass.
        """
        terms = self.terms[name]
        if terms.sampling == "poisson":
            joins = self.randomness.uniform(f"sample {name}", step, terms.num_units) <= terms.rate
            return np.flatnonzero(joins).tolist()
        parts = round(1 / terms.rate)
        turn, part = divmod(step - 1, parts)
        # Each unit draws its step independently, as the sensitivity requires: in a permutation, adding a unit would
        # move other units to other steps.
        drawn = np.ceil(self.randomness.uniform(f"order {name}", turn, terms.num_units) * parts) - 1
        return np.flatnonzero(drawn == part).tolist()

    def noise(self, name: str) -> float:
        """The standard deviation of the noise in each coordinate of the sum of set `name`."""
        return self.terms[name].noise_multiplier * self.max_grad_norm

    def privatise(self, name: str, step: int, total: Tensor) -> Tensor:
        """Add noise to the clipped sum of set `name`, and divide by the expected number of units. Shapes: [n] -> [n].

        `total` must already be summed over all processes. Every process then adds the same noise, drawn from a shared
        key, so that the result carries it once.
        """
        terms = self.terms[name]
        noise = self.randomness.normal(f"noise {name}", step, len(total), total.device)
        return (total + self.noise(name) * noise) / terms.expected
