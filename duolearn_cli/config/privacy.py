"""The part of the schema that describes the privacy promise of a run. See docs/privacy.md."""

from __future__ import annotations

from dataclasses import dataclass

from duolearn_cli.config.settings import NAME, setting

SETS = ("retain", "forget")
# A model's account lies beside its adapter. The adapter's file is marked, so that a model whose account is lost is
# not taken for one that has spent nothing.
ACCOUNT_FILE, ACCOUNT_MARK = "privacy.json", "account"


@dataclass
class PrivacyConfig:
    """Differential privacy of the unlearning update; `epsilon` empty means that nothing is promised."""

    name: str = setting("none", "short name", pattern=NAME)
    epsilon: float | None = setting(
        None,
        "epsilon that this run may spend on each protected set; empty: no differential privacy",
        minimum=0,
        maximum=100,
        common=("unlearn", "audit"),
    )
    delta: float | None = setting(
        None,
        "delta, the probability that the guarantee fails; below 1 / records. Empty: 0.1 / records",
        minimum=0,
        maximum=1,
    )
    budget: float | None = setting(
        None, "epsilon that all runs on one model may spend together; empty: this run's epsilon", minimum=0
    )
    protect: str = setting(
        "both", "the records that are protected", choices=["both", *SETS], common=("unlearn", "audit")
    )
    unit: str = setting(
        "fact",
        "what counts as one protected record: all items of a fact, all items of a patient (dataset.fields.patient),"
        " or each item",
        choices=["example", "fact", "patient"],
        common=("unlearn", "audit"),
    )
    max_examples: int = setting(
        8, "the largest number of items of one fact or patient; the rest are left out", minimum=1
    )
    max_grad_norm: float = setting(
        1.0, "largest norm of the gradient of one protected record; longer gradients are clipped", minimum=1e-9
    )
    clipping: str = setting(
        "flat",
        "flat: longer gradients are shortened; automatic: all are scaled to nearly this norm (Bu et al. 2023)",
        choices=["flat", "automatic"],
    )
    # An expectation, because sums of gradients are divided by this constant. The size that was drawn depends on the
    # records, so dividing by it would reveal something of them.
    batch_size: int | None = setting(
        None, "expected number of protected records in a step; empty: unlearn.batch_size", minimum=1
    )
    # Shuffled batches that are accounted as if they were Poisson samples under-report leakage (Chua et al. 2024), so
    # they get no amplification.
    sampling: str = setting(
        "poisson",
        "poisson: each record joins a step at random, which makes the guarantee stronger; shuffled: fixed epochs, "
        "without that gain",
        choices=["poisson", "shuffled"],
    )
    # PyTorch's own generators are not cryptographic: who guesses their state can take the noise off.
    randomness: str = setting(
        "secure",
        "secure: a cryptographic generator whose key is never stored; seeded: reproducible from `seed`, and no "
        "guarantee against anyone who knows the seed",
        choices=["secure", "seeded"],
    )
    # At 4,000 records, 32 a step, 500 steps, sigma 1 and delta 1e-5: epsilon 1.05 by PLD, 1.40 by RDP (dp-accounting
    # 0.6).
    accountant: str = setting(
        "pld",
        "method to add up the epsilon of all steps: pld gives the tight total, rdp a looser one",
        choices=["pld", "rdp"],
    )
    learn_epsilon: float | None = setting(
        None,
        "epsilon that learning the target may spend on each record; empty: learning is not private",
        minimum=0,
        maximum=100,
    )


@dataclass
class AuditConfig:
    """The empirical audit of a private run (Steinke et al. 2023)."""

    kind: str = setting("privacy", "what is audited; the first word after it", choices=["privacy"])
    canaries: int = setting(
        1000,
        "number of made-up records for each protected set; a fair coin decides which of them join the data",
        minimum=100,
        common=("audit",),
    )
    guesses: int | None = setting(
        None, "number of coins that the attacker guesses, fixed in advance; empty: a fifth of the canaries", minimum=10
    )
    confidence: float = setting(
        0.95, "confidence that the true epsilon is at least the measured bound", minimum=0.5, maximum=0.9999
    )
