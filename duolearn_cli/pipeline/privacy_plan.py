"""What a private run will spend, solved before any model is loaded; refused where the model's budget has no room."""

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
from duolearn_cli.pipeline.study import Study
from duolearn_cli.privacy.account import Account, Entry, read_account
from duolearn_cli.privacy.accounting import Spending, noise_multiplier

# Each is composed by itself, in seconds.
MAX_SIZES = 4


def group(items: Sequence[Item], config: RunConfig) -> dict[str, list[int]]:
    """The items of each unit, by the unit's name, as positions in `items`; of a large one a seeded choice.

    Raises:
        ConfigError: patients are the unit, and an item has none.
    """
    privacy, found = config.privacy, dict[str, list[int]]()
    for i, item in enumerate(items):
        if privacy.unit == "patient" and item.patient is None:
            raise ConfigError(
                f"privacy.unit=patient: item {item.id} names no patient. Give dataset=local with "
                "dataset.fields.patient=COLUMN, filled in every row; or choose privacy.unit=example or fact."
            )
        name = {"example": item.id, "fact": item.fact_id, "patient": item.patient}[privacy.unit]
        found.setdefault(str(name), []).append(i)
    for name, own in found.items():
        if len(own) > privacy.max_examples:
            # Of the unit's name alone: which of its items are used must not depend on other units.
            found[name] = sorted(random.Random(f"{config.seed}:unit:{name}").sample(own, privacy.max_examples))
    return found


def shared_by_units(sides: Mapping[str, Sequence[Item]], config: RunConfig) -> dict[str, list[dict[str, int]] | None]:
    """What several units belong to, of facts and patients, with the largest numbers of units that one has in each set.

    None where such a unit holds items of other facts (patients) too. Nothing for what has one unit at most. More than
    `MAX_SIZES` become one that is as large as each.
    """
    found: dict[str, list[dict[str, int]] | None] = {}
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
            found[kind] = None
            continue
        sizes = {tuple(sum(side == name for side, _ in units) for name in sides) for units in several}
        largest = [one for one in sorted(sizes) if not any(_is_within(one, other) for other in sizes - {one})]
        if len(largest) > MAX_SIZES:
            largest = [tuple(map(max, zip(*largest, strict=True)))]
        found[kind] = [dict(zip(sides, size, strict=True)) for size in largest]
    return found


def _is_within(one: Sequence[int], other: Sequence[int]) -> bool:
    return all(small <= large for small, large in zip(one, other, strict=True))


def _protected_groups(sides: Mapping[str, Sequence[Item]], config: RunConfig) -> dict[str, Any]:
    """`shared_by_units` without facts and patients of which nothing is protected."""
    names, found = protected(config), shared_by_units(sides, config)
    kept = {
        kind: groups and [own for own in groups if any(own[name] for name in names)] for kind, groups in found.items()
    }
    return {kind: groups for kind, groups in kept.items() if groups != []}


def grouping(study: Study) -> str:
    """A digest of the request's units: which items each has, in both sets, protected or not."""
    sides = (study.request.forget, study.request.retain)
    found = [{name: [side[i].id for i in own] for name, own in group(side, study.config).items()} for side in sides]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def plan_unlearning(study: Study) -> Account | None:
    """The account of the model that the run will leave, if it takes all its steps; None without privacy.

    Raises:
        ConfigError: the run would exceed the model's budget or void it, or its terms do not fit the data.
    """
    config, privacy = study.config, study.config.privacy
    before = account_before(study)
    if privacy.epsilon is None:
        if before:
            raise ConfigError(
                f"privacy={privacy.name}: the model to begin with has a privacy budget (epsilon {before.budget:g} at "
                f"delta {before.delta:g}), and a run without privacy would leave nothing of it. Choose privacy=eps1 "
                "or privacy=custom privacy.epsilon=VALUE, or another model."
            )
        return None
    sides = {"retain": study.request.retain, "forget": study.request.forget}
    units = {name: group(sides[name], config) for name in protected(config)}
    shared = _shared(study, units)
    batch = privacy.batch_size or config.unlearn.batch_size
    if "forget" in units:
        steps = num_steps(len(units["forget"]), batch, config.unlearn.epochs)
    else:
        steps = num_steps(len(sides["forget"]), config.unlearn.batch_size, config.unlearn.epochs)
    rates = {name: _rate(len(own), batch, privacy.sampling) for name, own in units.items()}
    account = before or Account(
        privacy.unit, _delta(study, units), privacy.budget or privacy.epsilon, privacy.accountant
    )
    _check_terms(study, account, units, before is not None)
    spendings: dict[str, Spending] = {}
    # A unit in both sets pays for both: their noise is solved for together.
    for names in [list(units)] if shared else [[name] for name in units]:
        planned = [Spending(0.0, rates[name], steps, privacy.sampling) for name in names]
        noise = noise_multiplier(privacy.epsilon, account.delta, planned, privacy.accountant)
        spendings |= {name: replace(one, noise_multiplier=noise) for name, one in zip(names, planned, strict=True)}
    entry = Entry(
        stage="unlearn",
        spendings=spendings,
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
    return account


def account_before(study: Study) -> Account | None:
    """What was spent on the model that unlearning begins with: a given adapter's account, or private learning's."""
    config = study.config
    if config.adapter:
        return read_account(Path(config.adapter))
    return plan_learning(study)


def plan_learning(study: Study) -> Account | None:
    """The account of a target that is learned privately; None where it is a given. Raises ConfigError."""
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
    budget = privacy.budget or privacy.learn_epsilon + (privacy.epsilon or 0)
    account = Account(privacy.unit, delta, budget, privacy.accountant)
    _check_terms(study, account, {"training": units}, False)
    entry = Entry(
        stage="learn",
        # Each record was in one of them, and learned from alike.
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
    """The expected share of units a step; where epochs are shuffled, one over the steps of an epoch."""
    return 1 / num_steps(num_units, batch, 1) if sampling == "shuffled" else min(1.0, batch / num_units)


def _shared(study: Study, units: dict[str, dict[str, list[int]]]) -> bool:
    """Whether a unit is in both sets. Raises ConfigError where only one of them is protected then."""
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


def _delta(study: Study, units: dict[str, dict[str, list[int]]]) -> float:
    """The given delta, or a tenth of one over the largest protected set."""
    largest = max(map(len, units.values()))
    return study.config.privacy.delta or 1 / (10 * largest)


def _check_terms(study: Study, account: Account, units: dict[str, dict[str, list[int]]], has_earlier: bool) -> None:
    privacy, largest = study.config.privacy, max(map(len, units.values()))
    if account.delta * largest >= 1:
        raise ConfigError(
            f"privacy.delta={account.delta:g}: with {largest} units a record might be given away whole; allowed: less "
            f"than {1 / largest:.2g}."
        )
    # One that is left out counts too: had the others taught more, it might be used.
    taught = [doubt.id for doubt in study.filled if doubt.outcome != "borderline"]
    if taught and study.config.labels.fill:
        raise ConfigError(
            f"labels.fill=true: what other items teach decides on {len(taught)} items without a subject ({taught[0]} "
            "first), outside the promise. Give labels.fill=false, or data in which every item has a subject."
        )
    if not has_earlier:
        return
    if privacy.protect != "both":
        raise ConfigError(
            f"privacy.protect={privacy.protect}: the set that is left out may hold records whose privacy an earlier "
            "stage of this model has promised; allowed here: both."
        )
    asked = {"unit": (privacy.unit, account.unit), "delta": (privacy.delta or account.delta, account.delta)}
    for name, (given, kept) in asked.items():
        if given != kept:
            raise ConfigError(
                f"privacy.{name}={given}: the model's account goes by {name} {kept}; allowed: privacy.{name}={kept}."
            )
    if privacy.budget is not None and privacy.budget > account.budget:
        raise ConfigError(
            f"privacy.budget={privacy.budget:g}: the model's budget was set to epsilon {account.budget:g} and cannot "
            "grow; leave it out."
        )


def _check_budget(account: Account, own: float) -> None:
    total = account.planned().worst()
    if total > account.budget:
        raise ConfigError(
            f"privacy.epsilon={own:g}: with what {len(account.entries) - 1} earlier stages of this model have spent, "
            f"epsilon would be {total:.4g}, and the budget is {account.budget:g}. Give a smaller privacy.epsilon, or "
            "begin with another model; a first run reserves more with privacy.budget."
        )
