"""The privacy plan of a run: noise and spending, solved before any model is loaded and checked against the budget."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from duolearn_cli.config.privacy import SETS
from duolearn_cli.config.privacy_rules import protected
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.data.items import Item
from duolearn_cli.data.order import num_steps
from duolearn_cli.errors import ConfigError
from duolearn_cli.model.adapter_files import HELD_FILE
from duolearn_cli.pipeline import private_starts
from duolearn_cli.pipeline.study import Study
from duolearn_cli.privacy.account import Account, Entry, read_account
from duolearn_cli.privacy.accounting import Spending, noise_multiplier

# Group sizes are composed one by one, which takes seconds each.
MAX_SIZES = 4

# By protected set the units, by name, and of each the positions of its items.
Units = dict[str, dict[str, list[int]]]


def group(items: Sequence[Item], config: RunConfig) -> dict[str, list[int]]:
    """Group items into privacy units. Return the positions in `items` of each unit's items, by the unit's name.

    A unit with more than ``privacy.max_examples`` items uses a seeded sample of them.

    Raises:
        ConfigError: the unit is the patient, and an item names none.
    """
    privacy, units = config.privacy, dict[str, list[int]]()
    for i, item in enumerate(items):
        # Items without a patient would all become one unit, with the name None.
        if privacy.unit == "patient" and item.patient is None:
            raise ConfigError(
                f"privacy.unit=patient: item {item.id} names no patient. Give dataset=local with "
                "dataset.fields.patient=COLUMN, filled in every row; or choose privacy.unit=example or fact."
            )
        name = {"example": item.id, "fact": item.fact_id, "patient": item.patient}[privacy.unit]
        units.setdefault(str(name), []).append(i)
    for name, own in units.items():
        if len(own) > privacy.max_examples:
            # Seeded by the unit's name alone: the sample must not depend on other units, or they would be coupled.
            units[name] = sorted(random.Random(f"{config.seed}:unit:{name}").sample(own, privacy.max_examples))
    return units


def shared_by_units(sides: Mapping[str, Sequence[Item]], config: RunConfig) -> dict[str, list[dict[str, int]] | None]:
    """Return how many units a single fact and a single patient may have in each set, if it has more than one.

    The epsilon of a unit understates what is revealed about a fact or patient with several units (docs/privacy.md,
    "What several units share"); the accounting then needs these numbers.

    Returns, by ``fact`` and ``patient``: the largest combinations of numbers of units by set; more than `MAX_SIZES` of
    them are replaced by one that bounds all. None if such a unit also holds items of other facts (patients): then no
    bound is known. A kind that never has several units is missing.
    """
    largest_sizes: dict[str, list[dict[str, int]] | None] = {}
    for kind, of in (("fact", lambda item: item.fact_id), ("patient", lambda item: item.patient)):
        owned: dict[str, set[tuple[str, str]]] = {}
        values: dict[tuple[str, str], set[str]] = {}
        for name, items in sides.items():
            for unit, own in group(items, config).items():
                for value in {str(of(items[i])) for i in own if of(items[i]) is not None}:
                    owned.setdefault(value, set()).add((name, unit))
                    values.setdefault((name, unit), set()).add(value)
        several = [units for units in owned.values() if len({unit for _, unit in units}) > 1]
        if not several:
            continue
        if any(len(values[unit]) > 1 for units in several for unit in units):
            largest_sizes[kind] = None
            continue
        sizes = {tuple(sum(side == name for side, _ in units) for name in sides) for units in several}
        largest = [one for one in sorted(sizes) if not any(_is_within(one, other) for other in sizes - {one})]
        if len(largest) > MAX_SIZES:
            largest = [tuple(map(max, zip(*largest, strict=True)))]
        largest_sizes[kind] = [dict(zip(sides, size, strict=True)) for size in largest]
    return largest_sizes


def _is_within(one: Sequence[int], other: Sequence[int]) -> bool:
    return all(small <= large for small, large in zip(one, other, strict=True))


def _protected_groups(sides: Mapping[str, Sequence[Item]], config: RunConfig) -> dict[str, Any]:
    """Return `shared_by_units` for facts and patients that have a unit in a protected set."""
    names, by_kind = protected(config), shared_by_units(sides, config)
    covered = {
        kind: groups and [own for own in groups if any(own[name] for name in names)] for kind, groups in by_kind.items()
    }
    return {kind: groups for kind, groups in covered.items() if groups != []}


def grouping(study: Study) -> str:
    """Return a digest of the units of the request and their items, in both sets, protected or not."""
    sides = (study.request.forget, study.request.retain)
    units = [{name: [side[i].id for i in own] for name, own in group(side, study.config).items()} for side in sides]
    return hashlib.sha256(json.dumps(units).encode()).hexdigest()


def plan_unlearning(study: Study) -> Account | None:
    """Return the account that the run's model will have after all planned steps, None without privacy.

    Raises:
        ConfigError: the run would exceed the model's budget or void its guarantee, or its terms do not fit the data.
    """
    config, privacy = study.config, study.config.privacy
    before = account_before(study)
    if privacy.epsilon is None:
        _refuse_to_leave(before, privacy.name)
        return None
    if config.after and config.unlearn.hold and (Path(config.after) / HELD_FILE).is_file():
        raise ConfigError(
            f"unlearn.hold=true: {config.after} holds raw gradients of what earlier requests forgot, and with "
            f"privacy={privacy.name} they would steer steps outside the account. Give unlearn.hold=false; how much of "
            "the earlier requests comes back is measured."
        )
    sides = {"retain": study.request.retain, "forget": study.request.forget}
    units = {name: group(sides[name], config) for name in protected(config)}
    shared = _shared(study, units)
    # Delta and budget of a model are fixed by its first private run. Otherwise a later run could raise what was
    # promised.
    account = before or Account(
        privacy.unit, _delta(study, units), privacy.budget or privacy.epsilon, privacy.accountant
    )
    _check_terms(study, account, units, before is not None)
    entry = Entry(
        stage="unlearn",
        spendings=_spendings(study, units, privacy.epsilon, account.delta, shared=shared),
        unprotected=tuple(name for name in SETS if name not in units),
        num_units={name: len(own) for name, own in units.items()},
        max_grad_norm=privacy.max_grad_norm,
        clipping=privacy.clipping,
        randomness=privacy.randomness,
        shared=shared,
        grouping=grouping(study),
        together=_protected_groups(sides, config),
    )
    account = account.begin(entry)
    _check_budget(account, privacy.epsilon)
    if before and (start := private_starts.start_of(config)):
        private_starts.check(start, None, account)
    return account


def _refuse_to_leave(before: Account | None, name: str) -> None:
    """Raise ConfigError if a run without privacy would leave the promise of the model to begin with without a bound."""
    if before:
        raise ConfigError(
            f"privacy={name}: the model to begin with has a privacy budget (epsilon {before.budget:g} at "
            f"delta {before.delta:g}), and a run without privacy would leave nothing of it. Choose privacy=eps1 "
            "or privacy=custom privacy.epsilon=VALUE, or another model."
        )


def _spendings(study: Study, units: Units, epsilon: float, delta: float, *, shared: bool) -> dict[str, Spending]:
    """What the planned steps spend of each protected set, with the noise that keeps it within `epsilon`."""
    config, privacy = study.config, study.config.privacy
    batch = privacy.batch_size or config.unlearn.batch_size
    # An epoch is a pass over the forget set: over its units if they are protected, else over its items.
    if "forget" in units:
        steps = num_steps(len(units["forget"]), batch, config.unlearn.epochs)
    else:
        steps = num_steps(len(study.request.forget), config.unlearn.batch_size, config.unlearn.epochs)
    spendings: dict[str, Spending] = {}
    # A unit in both sets pays for both, so their noise multiplier is solved jointly.
    for names in [list(units)] if shared else [[name] for name in units]:
        rates = [_rate(len(units[name]), batch, privacy.sampling) for name in names]
        planned = [Spending(0.0, rate, steps, privacy.sampling) for rate in rates]
        noise = noise_multiplier(epsilon, delta, planned, privacy.accountant)
        spendings |= {name: replace(one, noise_multiplier=noise) for name, one in zip(names, planned, strict=True)}
    return spendings


def check_resumed(config: RunConfig, run: Path) -> None:
    """Check that a resumed run's account, with all its planned steps, is still within the model's budget.

    Raises:
        ConfigError: it is not, by itself or with other runs that began with the same model.
    """
    account = read_account(run)
    if account is None:
        return
    _check_budget(account, config.privacy.epsilon or 0.0)
    if (start := private_starts.start_of(config)) and len(account.entries) > 1:
        private_starts.check(start, run, account)


def account_before(study: Study) -> Account | None:
    """Return the account of the model that unlearning begins with: that of ``adapter=``, or of private learning."""
    config = study.config
    if config.adapter:
        return read_account(Path(config.adapter))
    if config.merged and config.model.path:
        return read_account(Path(config.model.path))
    return plan_learning(study)


def plan_learning(study: Study) -> Account | None:
    """Return the account of learning the target privately, None if the target is learned without privacy.

    Raises:
        ConfigError: the terms do not fit the data.
    """
    config, privacy = study.config, study.config.privacy
    if privacy.learn_epsilon is None:
        return None
    items = study.training_items("target")
    units = group(items, config)
    batch = privacy.batch_size or config.learn.batch_size
    rate = _rate(len(units), batch, privacy.sampling)
    steps = num_steps(len(units), batch, config.learn.epochs)
    delta = _delta(study, {"training": units})
    noise = noise_multiplier(
        privacy.learn_epsilon, delta, [Spending(0.0, rate, steps, privacy.sampling)], privacy.accountant
    )
    spending = Spending(noise, rate, steps, privacy.sampling)
    # By default the budget holds private learning and one run of unlearning after it.
    budget = privacy.budget or privacy.learn_epsilon + (privacy.epsilon or 0)
    account = Account(privacy.unit, delta, budget, privacy.accountant)
    _check_terms(study, account, {"training": units}, False)
    entry = Entry(
        stage="learn",
        # Learning treats both sets alike, and each record is in one of them: it pays this spending whichever it is.
        spendings=dict.fromkeys(SETS, spending),
        unprotected=(),
        num_units=dict.fromkeys(SETS, len(units)),
        max_grad_norm=privacy.max_grad_norm,
        clipping=privacy.clipping,
        randomness=privacy.randomness,
        together=shared_by_units({SETS[0]: items}, config),
    )
    return account.begin(entry).planned()


def _rate(num_units: int, batch: int, sampling: str) -> float:
    """Return the expected share of units in a step; for shuffled passes, one over the number of steps in a pass."""
    return 1 / num_steps(num_units, batch, 1) if sampling == "shuffled" else min(1.0, batch / num_units)


def _shared(study: Study, units: Units) -> bool:
    """Return whether some unit has items in both sets. Raises ConfigError if only one of the sets is protected."""
    config = study.config
    if config.privacy.unit == "example":
        return False
    keys = [set(group(side, config)) for side in (study.request.retain, study.request.forget)]
    both = keys[0] & keys[1]
    if both and len(units) < len(SETS):
        raise ConfigError(
            f"privacy.protect={config.privacy.protect}: {len(both)} units ({config.privacy.unit}) have items in both "
            "sets, and would be protected in one of them only. Choose privacy.protect=both."
        )
    return bool(both)


def _delta(study: Study, units: Units) -> float:
    """Return ``privacy.delta``, by default 1 / (10 N) for the N units of the largest protected set."""
    largest = max(map(len, units.values()))
    return study.config.privacy.delta or 1 / (10 * largest)


def _check_terms(study: Study, account: Account, units: Units, has_earlier: bool) -> None:
    privacy, largest = study.config.privacy, max(map(len, units.values()))
    if account.delta * largest >= 1:
        raise ConfigError(
            f"privacy.delta={account.delta:g}: with {largest} units a record might be revealed completely; allowed: "
            f"less than {1 / largest:.2g}."
        )
    # Items that were left out count too: other labels in the data might have brought them in.
    inferred = [doubt.id for doubt in study.filled if doubt.outcome != "borderline"]
    if inferred and study.config.labels.fill:
        raise ConfigError(
            f"labels.fill=true: the subjects of {len(inferred)} items ({inferred[0]} first) are inferred from other "
            "items, which the privacy guarantee does not cover. Give labels.fill=false, or data in which every item "
            "has a subject."
        )
    if not has_earlier:
        return
    if privacy.protect != "both":
        raise ConfigError(
            f"privacy.protect={privacy.protect}: the other set may hold records that an earlier stage of this model "
            "has promised to protect; allowed here: both."
        )
    fixed = {"unit": (privacy.unit, account.unit), "delta": (privacy.delta or account.delta, account.delta)}
    for name, (configured, accounted) in fixed.items():
        if configured != accounted:
            raise ConfigError(
                f"privacy.{name}={configured}: the model's account uses {name} {accounted}; allowed: "
                f"privacy.{name}={accounted}."
            )
    if privacy.budget is not None and privacy.budget > account.budget:
        raise ConfigError(
            f"privacy.budget={privacy.budget:g}: the model's budget was set to epsilon {account.budget:g} and cannot "
            "grow; leave it out."
        )


def _check_budget(account: Account, own: float) -> None:
    # The planned steps count, not those taken: a run that would exceed the budget must not begin.
    total = account.planned().worst()
    if total > account.budget:
        raise ConfigError(
            f"privacy.epsilon={own:g}: together with the {len(account.entries) - 1} earlier stages of this model, "
            f"epsilon would be {total:.4g}, and the budget is {account.budget:g}. Give a smaller privacy.epsilon, or "
            "begin with another model; a first run can reserve more with privacy.budget."
        )
