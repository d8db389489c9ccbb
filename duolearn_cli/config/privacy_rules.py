"""Settings that cannot be combined with a privacy promise: they read protected data outside the mechanism."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from duolearn_cli.config.privacy import SETS
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.config.unlearning import GeometryConfig, SparsityConfig


class Constrained(Protocol):
    """What these rules read of a method. Every `duolearn_cli.methods.Method` declares it."""

    @property
    def sparsity(self) -> SparsityConfig: ...

    @property
    def geometry(self) -> GeometryConfig: ...


def problems(config: RunConfig, method: Constrained | None) -> Iterator[str]:
    """Yield each setting that would break the promise, or that private steps do not support, with the fix.

    `method` is None if its settings make none, which other checks report.
    """
    privacy = config.privacy
    yield from (f"privacy.{problem}" for problem in privacy_problems(config))
    if config.command == "retrain" and (privacy.epsilon, privacy.learn_epsilon) != (None, None):
        yield (
            f"privacy={privacy.name}: gold is what others are measured against and is never private; allowed: "
            "privacy=none."
        )
    if privacy.epsilon is None:
        if config.command == "audit":
            yield f"privacy={privacy.name}: there is no promise to audit; give privacy=eps1, eps4, eps8 or custom."
        return
    if method is not None:
        yield from _raw_gradients(config, method)
    yield from _raw_inputs(config)
    if config.command == "learn":
        yield (
            f"privacy.epsilon={privacy.epsilon}: that is for unlearning; to learn privately give "
            f"privacy.epsilon=null privacy.learn_epsilon={privacy.epsilon}."
        )


def privacy_problems(config: RunConfig) -> Iterator[str]:
    """Yield problems among the privacy settings themselves."""
    privacy = config.privacy
    if privacy.learn_epsilon is not None and config.model.adapter.dropout:
        yield f"learn_epsilon={privacy.learn_epsilon}: private learning has no dropout; model.adapter.dropout=0."
    if privacy.learn_epsilon is not None and config.adapter:
        yield f"learn_epsilon={privacy.learn_epsilon}: with adapter= nothing is learned; leave one of them out."
    if privacy.epsilon == 0 or privacy.learn_epsilon == 0:
        yield "epsilon=0: nothing can be learned from a record then; allowed: more than 0, or privacy=none."
    if privacy.delta == 0:
        yield "delta=0: the Gaussian mechanism needs more; leave it empty for a tenth of one over the records."
    if privacy.epsilon is None and privacy.learn_epsilon is None and privacy.budget is not None:
        yield f"budget={privacy.budget}: without privacy there is nothing to limit; give privacy.epsilon=VALUE too."
    if privacy.epsilon is not None and privacy.budget is not None and privacy.budget < privacy.epsilon:
        yield f"budget={privacy.budget}: less than this run may spend; allowed: {privacy.epsilon} or more."
    if privacy.name == "custom" and privacy.epsilon is None and privacy.learn_epsilon is None:
        yield "epsilon is not set; give privacy.epsilon=VALUE, or choose privacy=none."


def _raw_inputs(config: RunConfig) -> Iterator[str]:
    name = f"privacy={config.privacy.name}"
    if config.labels.answers != "all":
        yield f"labels.answers={config.labels.answers}: it looks at raw answers, outside {name}; allowed with it: all."
    if config.labels.balance:
        yield (
            f"labels.balance={config.labels.balance}: weights would follow from how many records others are; allowed "
            f"with {name}: 0."
        )
    if config.labels.conflicts == "leave_out":
        yield (
            "labels.conflicts=leave_out: whether a record is used would depend on other records; allowed with "
            f"{name}: report, ignore."
        )
    faults = config.imperfect
    if faults.missing_subjects or faults.wrong_subjects or faults.wrong_answers or faults.imbalance != 1:
        yield f"imperfect.*: faults are drawn over all records together; {name} needs each record by itself."
    if config.unlearn.stop != "none":
        yield f"unlearn.stop={config.unlearn.stop}: its end would follow from raw answers; allowed with {name}: none."
    if config.unlearn.packing:
        yield (
            f"unlearn.packing=true: texts that are not finite would spoil others of their row; allowed with {name}: "
            "false."
        )
    if config.unlearn.retain_batch_size is not None and not config.after:
        yield (
            f"unlearn.retain_batch_size={config.unlearn.retain_batch_size}: private steps sample both sets at one "
            f"rate; allowed with {name}: empty. Fix: leave it out, or set privacy.batch_size."
        )
    if config.unlearn.min_steps is not None:
        yield (
            f"unlearn.min_steps={config.unlearn.min_steps}: each private step is paid for; allowed with {name}: empty. "
            "Fix: leave it out, or set unlearn.epochs."
        )
    if config.unlearn.keep_weight != 1:
        yield (
            f"unlearn.keep_weight={config.unlearn.keep_weight}: private steps clip both losses together; allowed with "
            f"{name}: 1. Fix: leave it out, or set the method's own weights. Data sets of notes set it: "
            "documents cannot be unlearned privately."
        )
    if config.unlearn.rehearse:
        yield (
            f"unlearn.rehearse={config.unlearn.rehearse}: raw records of earlier requests would join each step, "
            f"outside what {name} accounts for; allowed with it: 0."
        )
    if config.runtime.sharding != "none":
        yield (
            f"runtime.sharding={config.runtime.sharding}: private steps need the whole gradient of a record in one "
            "place; allowed: none."
        )


def _raw_gradients(config: RunConfig, method: Constrained) -> Iterator[str]:
    name = f"privacy={config.privacy.name}"
    if method.sparsity.unit != "none":
        yield (
            f"method.sparsity.unit={method.sparsity.unit}: coordinates would be chosen by raw gradients, outside "
            f"what {name} accounts for; allowed with it: none."
        )
    # A projection is post-processing only if privatised gradients or public data define it. A single raw record could
    # turn the subspace, and with it the whole raw forget gradient.
    if method.geometry.basis_from == "raw" and "retain" in protected(config):
        yield (
            f"method.geometry.basis_from=raw: raw retain gradients would steer every step, and {name} protects the "
            "retain set; allowed: step (the privatised ones), or privacy.protect=forget."
        )


def protected(config: RunConfig) -> tuple[str, ...]:
    """The names of the protected sets."""
    return SETS if config.privacy.protect == "both" else (config.privacy.protect,)
