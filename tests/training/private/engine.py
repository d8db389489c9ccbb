"""Helpers that build private steps over the small study."""

from __future__ import annotations

from accelerate import Accelerator

from duolearn_cli.model.distributed import Processes
from duolearn_cli.privacy.account import Account, Entry
from duolearn_cli.privacy.accounting import Spending
from duolearn_cli.privacy.ledger import Ledger
from duolearn_cli.privacy.mechanism import Mechanism
from duolearn_cli.privacy.randomness import Seeded
from duolearn_cli.training.coordinates import Coordinates
from duolearn_cli.training.private.step import PrivateSteps, Unit


def account_of(units, noise, rate, steps=100, clip=1.0, clipping="flat", protected=("forget", "retain"), seeded=True):
    entry = Entry(
        stage="unlearn",
        spendings={name: Spending(noise, rate, steps) for name in protected},
        unprotected=tuple(name for name in ("retain", "forget") if name not in protected),
        num_units={name: len(units[name]) for name in protected},
        max_grad_norm=clip,
        clipping=clipping,
        randomness="seeded" if seeded else "secure",
    )
    return Account("example", 1e-5, 1e6, "pld", (entry,))


def private_steps(model, method, units, folder, noise=0.0, rate=1.0, protected=("forget", "retain"), **settings):
    """Return private steps over `units` by set. By default every unit joins every step, without noise."""
    terms = {key: settings.pop(key) for key in ("clip", "clipping", "steps") if key in settings}
    account = account_of(units, noise, rate, protected=protected, **terms)
    processes = settings.pop("processes", None) or Processes(Accelerator(cpu=True))
    batches = {name: [list(range(len(own)))] * 100 for name, own in units.items() if name not in protected}
    coordinates = settings.pop("coordinates", None) or Coordinates(model.named_adapter)
    engine = Mechanism.of(account.last, Seeded(0))
    ledger = Ledger(account, folder, writes=False)
    return PrivateSteps(model, method, coordinates, processes, units, batches, engine, ledger, **settings)


def one_unit_each(name, examples):
    return [Unit(name, [example]) for example in examples]
