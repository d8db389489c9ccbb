"""The empirical audit: canaries go through the runner's own sampling, clipping and noise, and are then guessed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from duolearn_cli.audits.privacy.bound import guesses, lower_bound, reach, score
from duolearn_cli.config.privacy import AuditConfig
from duolearn_cli.config.unlearning import UnlearnConfig
from duolearn_cli.errors import ModelError, present
from duolearn_cli.privacy.account import Account
from duolearn_cli.privacy.mechanism import Terms
from duolearn_cli.training.private.step import SIDE, PrivateSteps, Unit
from duolearn_cli.training.unlearn import learning_rate
from duolearn_cli.training.update import Update

# How long a canary's gradient is in units of the clipping norm: only clipping makes it one.
LENGTH = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What the audit found of one protected set.

    Attributes:
        claim: the epsilon of the account.
        bound: epsilon is at least this, with `confidence`.
        reach: the bound if every guess had been right.
        randomness: ``secure`` or ``seeded``, that of the noise.
        canaries, guesses, correct: how many there were, how many of their coins were guessed, how many rightly.
    """

    set_name: str
    claim: float
    bound: float
    delta: float
    confidence: float
    canaries: int
    guesses: int
    correct: int
    steps: int
    reach: float
    randomness: str

    @property
    def holds(self) -> bool:
        """Whether the bound leaves the claim standing."""
        return self.bound <= self.claim

    @property
    def can_fail(self) -> bool:
        """Whether any guesses at all could have contradicted the claim; if not, that it stands says nothing."""
        return self.reach > self.claim

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"holds": self.holds, "can_fail": self.can_fail}


@dataclass(frozen=True, eq=False)
class Canaries:
    """Those of one set: gradients along coordinates of their own, `coin` says which were put in. Shapes: both [m]."""

    set_name: str
    coordinate: np.ndarray
    coin: np.ndarray

    @classmethod
    def draw(cls, set_name: str, count: int, num_coordinates: int, seed: int) -> Canaries:
        """Raises ModelError where there are fewer coordinates than canaries."""
        if num_coordinates < count:
            raise ModelError(
                f"audit.canaries={count}: each needs a coordinate of its own, and {num_coordinates} may change; give "
                "fewer."
            )
        digest = hashlib.sha256(f"{seed}:audit {set_name}".encode()).digest()
        generator = np.random.Generator(np.random.Philox(int.from_bytes(digest[:8], "big")))
        places = generator.choice(num_coordinates, count, replace=False)
        return cls(set_name, places, generator.random(count) < 0.5)

    def units(self, max_grad_norm: float) -> list[Unit]:
        """Those that were put in."""
        return [Unit(self.set_name, canary=(int(i), LENGTH * max_grad_norm)) for i in self.coordinate[self.coin]]


def audit(
    steps: PrivateSteps,
    update: Update,
    settings: UnlearnConfig,
    asked: AuditConfig,
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> list[Finding]:
    """Take all steps of a private run with canaries among the units of each protected set, and guess who was there.

    The auditor sees what the promise protects even against: the noised gradient of every step.
    """
    mechanism, account = steps.mechanism, steps.ledger.account
    planted = [Canaries.draw(name, asked.canaries, len(steps.coordinates.values), seed) for name in mechanism.terms]
    seen: dict[str, list[np.ndarray]] = {canaries.set_name: [] for canaries in planted}
    steps = with_canaries(steps, planted)
    for step in range(1, account.num_steps + 1):
        found = present(steps.gradients(step), f"what the account allows at step {step}")
        for canaries in planted:
            # From the mean that the optimiser gets back to the sum, in units of the clipping norm.
            scale = steps.mechanism.terms[canaries.set_name].expected / mechanism.max_grad_norm
            released = getattr(found, SIDE[canaries.set_name]).double().cpu().numpy()
            seen[canaries.set_name].append(released[canaries.coordinate] * scale)
        update.apply(step, learning_rate(step, account.num_steps, settings), found)
        advance()
    return [judge(canaries, np.stack(seen[canaries.set_name]), account, asked) for canaries in planted]


def with_canaries(steps: PrivateSteps, planted: list[Canaries]) -> PrivateSteps:
    """The same steps with the canaries that were put in as further units; rate and noise stay those of the claim."""
    mechanism = steps.mechanism
    added: dict[str, list[Unit]] = {name: [] for name in mechanism.terms}
    added |= {canaries.set_name: canaries.units(mechanism.max_grad_norm) for canaries in planted}
    terms: dict[str, Terms] = {
        name: replace(own, num_units=own.num_units + len(added[name])) for name, own in mechanism.terms.items()
    }
    units = {name: [*own, *added.get(name, [])] for name, own in steps.units.items()}
    return replace(steps, mechanism=replace(mechanism, terms=terms), units=units)


def judge(canaries: Canaries, observed: np.ndarray, account: Account, asked: AuditConfig) -> Finding:
    """Guess the coins from what was seen [steps, m], and bound epsilon by how many guesses are right."""
    name, planned = canaries.set_name, account.planned()
    spending = account.last.spendings[name]
    # In a shuffled pass every canary joins once, at a step that the auditor does not know.
    scores = score(observed, spending.noise_multiplier, spending.rate)
    count = asked.guesses or asked.canaries // 5
    guessed = guesses(scores, count)
    correct = int((guessed * np.where(canaries.coin, 1, -1) == 1).sum())
    num_guesses = int(np.abs(guessed).sum())
    return Finding(
        set_name=name,
        claim=planned.epsilon(name, alone=True),
        bound=lower_bound(asked.canaries, num_guesses, correct, account.delta, asked.confidence),
        delta=account.delta,
        confidence=asked.confidence,
        canaries=asked.canaries,
        guesses=num_guesses,
        correct=correct,
        steps=account.num_steps,
        reach=reach(asked.canaries, num_guesses, account.delta, asked.confidence),
        randomness=account.last.randomness,
    )
