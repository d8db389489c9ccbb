"""How much privacy steps spend: epsilon from noise, and noise from epsilon, by Google's dp-accounting.

Adjacency: one data set is the other with one unit added or removed. The library's accountants give upper bounds in
exact arithmetic: the PLD accountant (Koskela et al. 2020; Doroshenko et al. 2022) is tight, the RDP accountant (Mironov
et al. 2019) looser.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dp_accounting import DpEvent
    from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution

# How far above the least sufficient noise the found one may be, as a share of it.
TOLERANCE = 1e-3
# Of larger groups no epsilon is worked out: it would be in the hundreds.
MAX_GROUP = 16
# Grid of privacy losses. The result is an upper bound with any; this one costs a few parts in 10,000 of epsilon.
DISCRETIZATION = 1e-3
LIBRARY = f"dp-accounting {version('dp-accounting')}"


@dataclass(frozen=True, slots=True)
class Spending:
    """`steps` releases of a sum of unit contributions of norm at most C, plus Gaussian noise of deviation C times
    `noise_multiplier`.

    Attributes:
        rate: the expected share of all units in a step.
        sampling: ``poisson``: each unit joins each step with probability `rate`; ``shuffled``: each unit takes part
            once in every ``1 / rate`` steps, and nothing is gained from not knowing when.
        group: how many units are added or removed together: those that share a fact, say.
    """

    noise_multiplier: float
    rate: float
    steps: int
    sampling: str = "poisson"
    group: int = 1

    @property
    def passes(self) -> int:
        """How often each unit takes part at most, where epochs are shuffled."""
        # A rate of 1/3 times three steps must not come out above one.
        return math.ceil(self.rate * self.steps - 1e-9)

    def event(self) -> DpEvent:
        """The same in the library's terms, which has none for a group."""
        if self.group != 1:
            raise ValueError(f"an event is of single units, and this spending is of groups of {self.group}")
        from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent

        release = GaussianDpEvent(self.noise_multiplier)
        if self.sampling == "shuffled":
            return SelfComposedDpEvent(release, self.passes)
        return SelfComposedDpEvent(PoissonSampledDpEvent(self.rate, release), self.steps)


def epsilon(spendings: Sequence[Spending], delta: float, accountant: str = "pld") -> float:
    """The epsilon of all `spendings` together, adaptively composed, at `delta`; 0 for none, inf without noise.

    Of groups it is that of the PLD accountant whichever is asked for, and inf above `MAX_GROUP` units.
    """
    from dp_accounting import ComposedDpEvent

    # Sorted, so that alternatives share what they have in common: see `_losses`.
    spent = sorted((spending for spending in spendings if spending.steps), key=repr)
    if not spent:
        return 0.0
    if any(spending.noise_multiplier == 0 or spending.group > MAX_GROUP for spending in spent):
        return math.inf
    if accountant == "pld" or any(spending.group > 1 for spending in spent):
        # Losses grow with a group, and so may what the grid costs; all that is composed needs the same grid.
        grid = DISCRETIZATION * max(spending.group for spending in spent)
        return float(_losses(tuple(spent), grid).get_epsilon_for_delta(delta))
    return float(_fresh(accountant).compose(ComposedDpEvent([s.event() for s in spent])).get_epsilon(delta))


@lru_cache(maxsize=256)
def _losses(spendings: tuple[Spending, ...], grid: float) -> PrivacyLossDistribution:
    """The privacy losses of all together. A convolution costs a tenth of a distribution, so parts are kept."""
    *before, last = spendings
    if before:
        return _losses(tuple(before), grid).compose(_losses((last,), grid))
    count = last.passes if last.sampling == "shuffled" else last.steps
    return _losses_of_one(last, grid).self_compose(count)


def _losses_of_one(spending: Spending, grid: float) -> PrivacyLossDistribution:
    """The privacy losses of one release.

    Each unit of a group joins a step by itself, so that a step's sum moves by a binomial number of clipping norms at
    most: a mixture of Gaussians (Ganesh 2024, "Tight group-level DP guarantees for DP-SGD with sampling via mixture of
    Gaussians mechanisms"). Where passes are shuffled, at worst all of them join the same step.
    """
    from dp_accounting.pld.privacy_loss_distribution import from_gaussian_mechanism, from_mixture_gaussian_mechanism
    from scipy.stats import binom

    noise, rate, group = spending.noise_multiplier, spending.rate, spending.group
    if spending.sampling == "shuffled":
        return from_gaussian_mechanism(noise / group, value_discretization_interval=grid)
    if group == 1:
        return from_gaussian_mechanism(noise, value_discretization_interval=grid, sampling_prob=rate)
    shares = binom.pmf(range(group + 1), group, rate).tolist()
    return from_mixture_gaussian_mechanism(noise, range(group + 1), shares, value_discretization_interval=grid)


def noise_multiplier(
    target: float, delta: float, planned: Sequence[Spending], accountant: str = "pld", tolerance: float = TOLERANCE
) -> float:
    """The least noise multiplier, one for all of `planned`, with which they spend no more than `target` at `delta`.

    The noise multipliers in `planned` are ignored. It is never too small, and too large by a share of `tolerance` at
    most.
    """
    from dp_accounting import ComposedDpEvent, calibrate_dp_mechanism
    from dp_accounting.mechanism_calibration import ExplicitBracketInterval

    def events(noise: float) -> DpEvent:
        return ComposedDpEvent([replace(spending, noise_multiplier=noise).event() for spending in planned])

    # RDP is quick and asks for more noise than PLD does: it brackets the search that is slow.
    enough = calibrate_dp_mechanism(lambda: _fresh("rdp"), events, target, delta, tol=1e-4)
    if accountant == "rdp":
        return float(enough)
    low = enough
    while epsilon([replace(s, noise_multiplier=low) for s in planned], delta) <= target:
        low *= 0.7
    high = enough * 1.001
    # Of very many steps the grid of PLD can be looser than RDP.
    while epsilon([replace(s, noise_multiplier=high) for s in planned], delta) > target:
        high *= 1.2
    bracket = ExplicitBracketInterval(low, high)
    # The tolerance is a share of the least noise, which `low` is below; RDP's can be an eighth above.
    return float(calibrate_dp_mechanism(lambda: _fresh("pld"), events, target, delta, bracket, tol=tolerance * low))


def _fresh(accountant: str) -> Any:
    from dp_accounting.pld import PLDAccountant
    from dp_accounting.rdp import RdpAccountant

    # The library has closed forms for integer orders alone; at others its series need not converge.
    orders = [*range(2, 64), 80, 96, 128, 192, 256, 512]
    kinds: dict[str, Callable[[], Any]] = {
        "pld": lambda: PLDAccountant(value_discretization_interval=DISCRETIZATION),
        "rdp": lambda: RdpAccountant(orders),
    }
    return kinds[accountant]()
