"""Privacy accounting with Google's dp-accounting: epsilon from noise, and noise from epsilon.

Two data sets are adjacent if one is the other with one unit added or removed. The library's accountants give upper
bounds on epsilon that hold in exact arithmetic. The PLD accountant (Koskela et al. 2020; Doroshenko et al. 2022) is
tight; the RDP accountant (Mironov et al. 2019) is looser and faster.
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

# The solved noise multiplier is at most this share above the smallest sufficient one.
TOLERANCE = 1e-3
# Larger groups get an infinite epsilon: the computed one would be in the hundreds.
MAX_GROUP = 16
# Step of the grid of privacy losses. Every grid gives an upper bound; this one adds a few parts in 10,000 to epsilon.
DISCRETIZATION = 1e-3
LIBRARY = f"dp-accounting {version('dp-accounting')}"


@dataclass(frozen=True, slots=True)
class Spending:
    """Several releases of a noisy sum of clipped unit contributions.

    With clipping norm C, each release adds Gaussian noise of standard deviation ``noise_multiplier * C`` to every
    coordinate of a sum of contributions whose norms are at most C.

    Attributes:
        noise_multiplier: the noise's standard deviation in units of C.
        rate: the expected share of all units in a step.
        steps: the number of releases.
        sampling: ``poisson``: each unit joins each step independently with probability `rate`. ``shuffled``: each unit
            joins one step of every ``1 / rate``; it is accounted without amplification by sampling.
        group: the number of units added or removed together, for example all units of one fact.
    """

    noise_multiplier: float
    rate: float
    steps: int
    sampling: str = "poisson"
    group: int = 1

    @property
    def passes(self) -> int:
        """How often each unit joins a step at most, with ``shuffled`` sampling."""
        # The small number absorbs rounding: a rate of 1/3 for three steps is one pass, not two.
        return math.ceil(self.rate * self.steps - 1e-9)

    def event(self) -> DpEvent:
        """This spending as an event of dp-accounting, which has none for groups of units."""
        if self.group != 1:
            raise ValueError(f"an event is of single units, and this spending is of groups of {self.group}")
        from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent

        release = GaussianDpEvent(self.noise_multiplier)
        if self.sampling == "shuffled":
            return SelfComposedDpEvent(release, self.passes)
        return SelfComposedDpEvent(PoissonSampledDpEvent(self.rate, release), self.steps)


def epsilon(spendings: Sequence[Spending], delta: float, accountant: str = "pld") -> float:
    """The epsilon at `delta` of the adaptive composition of all `spendings`.

    Groups of units always use the PLD accountant: dp-accounting describes them as a loss distribution only.

    Returns:
        An upper bound on epsilon. 0 if nothing was spent; infinity if any noise multiplier is zero or any group has
        more than `MAX_GROUP` units.
    """
    from dp_accounting import ComposedDpEvent

    # Sorted, so that similar compositions share a prefix, which `_losses` caches.
    spent = sorted((spending for spending in spendings if spending.steps), key=repr)
    if not spent:
        return 0.0
    if any(spending.noise_multiplier == 0 or spending.group > MAX_GROUP for spending in spent):
        return math.inf
    if accountant == "pld" or any(spending.group > 1 for spending in spent):
        # A group's privacy losses are larger, so a coarser grid costs relatively as little. Distributions can be
        # composed only on one common grid.
        grid = DISCRETIZATION * max(spending.group for spending in spent)
        return float(_losses(tuple(spent), grid).get_epsilon_for_delta(delta))
    return float(_new_accountant(accountant).compose(ComposedDpEvent([s.event() for s in spent])).get_epsilon(delta))


@lru_cache(maxsize=256)
def _losses(spendings: tuple[Spending, ...], grid: float) -> PrivacyLossDistribution:
    """The privacy loss distribution of the composition of `spendings`, on a grid with this step.

    The cache holds every prefix: composing one more spending costs a tenth of computing a distribution anew. Without
    it the alternatives of five stages took eight seconds, with it less than one.
    """
    *before, last = spendings
    if before:
        return _losses(tuple(before), grid).compose(_losses((last,), grid))
    count = last.passes if last.sampling == "shuffled" else last.steps
    return _losses_of_one(last, grid).self_compose(count)


def _losses_of_one(spending: Spending, grid: float) -> PrivacyLossDistribution:
    """The privacy loss distribution of one release.

    The units of a group join a step independently, so the group moves the step's sum by at most a binomial number of
    clipping norms. That is a mixture of Gaussians (Ganesh 2024, "Tight group-level DP guarantees for DP-SGD with
    sampling via mixture of Gaussians mechanisms"). With ``shuffled`` sampling, the worst case is that the whole group
    joins the same step.
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
    """Solve for the smallest noise multiplier with which all of `planned` together spend at most `target` epsilon.

    Args:
        target: the epsilon to stay within.
        delta: the delta at which it holds.
        planned: what will be spent; its own noise multipliers are ignored, and one is solved for all of it.
        accountant: ``pld`` or ``rdp``.
        tolerance: how far the result may be above the smallest sufficient one, as a share of it.

    Returns:
        A noise multiplier that is always sufficient.
    """
    from dp_accounting import ComposedDpEvent, calibrate_dp_mechanism
    from dp_accounting.mechanism_calibration import ExplicitBracketInterval

    def events(noise: float) -> DpEvent:
        return ComposedDpEvent([replace(spending, noise_multiplier=noise).event() for spending in planned])

    # RDP is fast and needs somewhat more noise than PLD: its answer brackets the slow search with PLD.
    enough = calibrate_dp_mechanism(lambda: _new_accountant("rdp"), events, target, delta, tol=1e-4)
    if accountant == "rdp":
        return float(enough)
    low = enough
    while epsilon([replace(s, noise_multiplier=low) for s in planned], delta) <= target:
        low *= 0.7
    high = enough * 1.001
    # For very many steps the rounding of PLD's grid can make it looser than RDP.
    while epsilon([replace(s, noise_multiplier=high) for s in planned], delta) > target:
        high *= 1.2
    bracket = ExplicitBracketInterval(low, high)
    # `tolerance` is relative to the smallest sufficient noise, and `low` is below that. RDP's answer would not do as
    # the base: with few steps at a small rate it is an eighth too large.
    calibrated = calibrate_dp_mechanism(
        lambda: _new_accountant("pld"), events, target, delta, bracket, tol=tolerance * low
    )
    return float(calibrated)


def _new_accountant(accountant: str) -> Any:
    """A new accountant of dp-accounting, with nothing spent."""
    from dp_accounting.pld import PLDAccountant
    from dp_accounting.rdp import RdpAccountant

    # dp-accounting has closed forms for integer orders only; at other orders its series may not converge.
    orders = [*range(2, 64), 80, 96, 128, 192, 256, 512]
    kinds: dict[str, Callable[[], Any]] = {
        "pld": lambda: PLDAccountant(value_discretization_interval=DISCRETIZATION),
        "rdp": lambda: RdpAccountant(orders),
    }
    return kinds[accountant]()
