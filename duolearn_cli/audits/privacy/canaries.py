"""The empirical audit: canaries pass the engine's own sampling, clipping and noise, and the auditor guesses them."""

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

# Norm of a canary's gradient in units of the clipping norm. Above 1, so that an engine that fails to clip is caught.
CANARY_NORM = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of the audit for one protected set.

    Attributes:
        set_name: ``retain`` or ``forget``.
        claim: the epsilon that the account states for this run, at `delta`.
        bound: the lower bound on epsilon, at `confidence`.
        canaries: the number of canaries.
        guesses: how many of their coins were guessed.
        correct: how many guesses were correct.
        steps: the number of steps audited.
        reach: the bound if every guess had been correct.
        randomness: of the noise, ``secure`` or ``seeded``.
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
        """Whether the claim stands: the bound does not exceed it."""
        return self.bound <= self.claim

    @property
    def can_fail(self) -> bool:
        """Whether any outcome could have contradicted the claim. If not, a claim that stands is no evidence."""
        return self.reach > self.claim

    def as_dict(self) -> dict[str, Any]:
        """The finding as audit.json holds it."""
        return asdict(self) | {"holds": self.holds, "can_fail": self.can_fail}


@dataclass(frozen=True, eq=False)
class Canaries:
    """The canaries of one protected set: made-up records whose gradients each lie along one coordinate of their own.

    Attributes:
        set_name: ``retain`` or ``forget``.
        coordinate: each canary's coordinate. Shape: [m], distinct.
        coin: whether each canary joins the data. Shape: [m], bool.
    """

    set_name: str
    coordinate: np.ndarray
    coin: np.ndarray

    @classmethod
    def draw(cls, set_name: str, count: int, num_coordinates: int, seed: int) -> Canaries:
        """Draw `count` canaries and their coins from `seed`.

        Raises:
            ModelError: there are fewer coordinates than canaries.
        """
        if num_coordinates < count:
            raise ModelError(
                f"audit.canaries={count}: each canary needs a coordinate of its own, and only {num_coordinates} may "
                "change. Give fewer canaries."
            )
        # Hashed, so that the two sets have unrelated streams under one seed.
        digest = hashlib.sha256(f"{seed}:audit {set_name}".encode()).digest()
        generator = np.random.Generator(np.random.Philox(int.from_bytes(digest[:8], "big")))
        coordinates = generator.choice(num_coordinates, count, replace=False)
        return cls(set_name, coordinates, generator.random(count) < 0.5)

    def units(self, max_grad_norm: float) -> list[Unit]:
        """The canaries that joined the data, as privacy units for the private step."""
        return [Unit(self.set_name, canary=(int(i), CANARY_NORM * max_grad_norm)) for i in self.coordinate[self.coin]]


def audit(
    steps: PrivateSteps,
    update: Update,
    settings: UnlearnConfig,
    config: AuditConfig,
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> list[Finding]:
    """Take all steps of a private run with canaries in each protected set, and guess which canaries were there.

    The auditor observes the noisy gradient of every step, which is everything that the guarantee covers.

    Args:
        steps: the private steps of the run.
        update: the optimiser update that moves the adapter after each step.
        settings: the schedule of the run's learning rate.
        config: the numbers of canaries and guesses, the confidence.
        seed: of the canaries and their coins.
        advance: called after each step.

    Returns:
        One finding for each protected set.

    Raises:
        ModelError: there are fewer trainable coordinates than canaries.
    """
    mechanism, account = steps.mechanism, steps.ledger.account
    planted = [Canaries.draw(name, config.canaries, len(steps.coordinates.values), seed) for name in mechanism.terms]
    observed: dict[str, list[np.ndarray]] = {canaries.set_name: [] for canaries in planted}
    steps = with_canaries(steps, planted)
    steps.model.renew_mark("an adapter in training")
    for step in range(1, account.num_steps + 1):
        gradients = present(steps.gradients(step), f"what the account allows at step {step}")
        for canaries in planted:
            # Undo the division by the expected number of units: the score is about the sum, in clipping norms.
            scale = steps.mechanism.terms[canaries.set_name].expected / mechanism.max_grad_norm
            released = getattr(gradients, SIDE[canaries.set_name]).double().cpu().numpy()
            observed[canaries.set_name].append(released[canaries.coordinate] * scale)
        update.apply(step, learning_rate(step, account.num_steps, settings), gradients)
        advance()
    return [judge(canaries, np.stack(observed[canaries.set_name]), account, config) for canaries in planted]


def with_canaries(steps: PrivateSteps, planted: list[Canaries]) -> PrivateSteps:
    """Add the canaries that joined the data to the units of `steps`. Rate and noise stay those of the claim."""
    mechanism = steps.mechanism
    added: dict[str, list[Unit]] = {name: [] for name in mechanism.terms}
    added |= {canaries.set_name: canaries.units(mechanism.max_grad_norm) for canaries in planted}
    terms: dict[str, Terms] = {
        name: replace(own, num_units=own.num_units + len(added[name])) for name, own in mechanism.terms.items()
    }
    units = {name: [*own, *added.get(name, [])] for name, own in steps.units.items()}
    return replace(steps, mechanism=replace(mechanism, terms=terms), units=units)


def judge(canaries: Canaries, observed: np.ndarray, account: Account, config: AuditConfig) -> Finding:
    """Guess the canaries' coins from `observed` [steps, m], and bound epsilon by the number of correct guesses."""
    name, planned = canaries.set_name, account.planned()
    spending = account.last.spendings[name]
    # The score assumes Poisson sampling. In a shuffled pass a canary joins once, at a step unknown to the auditor: the
    # score is then not optimal, and any guesses give a valid bound.
    scores = score(observed, spending.noise_multiplier, spending.rate)
    count = config.guesses or config.canaries // 5
    guessed = guesses(scores, count)
    correct = int((guessed * np.where(canaries.coin, 1, -1) == 1).sum())
    num_guesses = int(np.abs(guessed).sum())
    return Finding(
        set_name=name,
        claim=planned.epsilon(name, alone=True),
        bound=lower_bound(config.canaries, num_guesses, correct, account.delta, config.confidence),
        delta=account.delta,
        confidence=config.confidence,
        canaries=config.canaries,
        guesses=num_guesses,
        correct=correct,
        steps=account.num_steps,
        reach=reach(config.canaries, num_guesses, account.delta, config.confidence),
        randomness=account.last.randomness,
    )
