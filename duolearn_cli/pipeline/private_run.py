"""The private steps of one run, built from its configuration, its items and the account in its folder."""

from __future__ import annotations

from collections.abc import Sequence

from duolearn_cli.data.items import Item
from duolearn_cli.data.order import cycled, epochs
from duolearn_cli.errors import RunError
from duolearn_cli.model.distributed import Processes
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.pipeline.privacy_plan import group, grouping
from duolearn_cli.privacy.account import FILE, Account, read_account
from duolearn_cli.privacy.ledger import Ledger
from duolearn_cli.privacy.mechanism import Mechanism
from duolearn_cli.privacy.randomness import Randomness, Secure, Seeded
from duolearn_cli.training.forward import Example
from duolearn_cli.training.private.step import PrivateSteps, Unit
from duolearn_cli.training.task import UnlearningTask
from duolearn_cli.training.update import Update


def private_steps(lab: Laboratory, task: UnlearningTask, update: Update, processes: Processes) -> PrivateSteps | None:
    """Return the private steps of the run, None for a run without privacy.

    Raises:
        RunError: the run's account is missing, belongs to other data, or the run cannot be resumed.
    """
    config = lab.study.config
    if config.privacy.epsilon is None:
        return None
    account = _account(lab)
    # All processes read the account before the main process changes it.
    processes.wait()
    entry, request = account.last, lab.study.request
    units = {
        "forget": _units("forget", request.forget, task.forget, account, lab),
        "retain": _units("retain", request.retain, task.retain, account, lab),
    }
    size, steps = config.unlearn.batch_size, account.num_steps
    batches: dict[str, Sequence[Sequence[int]]] = {}
    if "forget" not in entry.spendings:
        batches["forget"] = list(epochs(len(task.forget), size, config.unlearn.epochs, config.seed))
    if "retain" not in entry.spendings:
        # The account sets the number of steps, so that an unprotected retain set is cycled for as long as they last.
        batches["retain"] = list(cycled(len(task.retain), [size] * steps, config.seed))
    return PrivateSteps(
        lab.model,
        task.method,
        update.coordinates,
        processes,
        units,
        batches,
        Mechanism.of(entry, randomness(account, config.seed, processes)),
        Ledger(account.began_with(lab.cache.digest("target")), lab.run.folder, writes=lab.is_main),
        config.unlearn.micro_batch,
        task.pack_to,
        update.constraint.settings.needs_fisher,
    )


def _account(lab: Laboratory) -> Account:
    """Return the run's account, or raise RunError: it is missing, of other data, or of a run that cannot be resumed."""
    account = read_account(lab.run.folder)
    if account is None:
        raise RunError(f"{lab.run.folder / FILE} is missing: the run's privacy spending is unknown. Start a new run.")
    is_shuffled = any(spending.sampling == "shuffled" for spending in account.last.spendings.values())
    if is_shuffled and account.last.begun and account.last.randomness == "secure":
        raise RunError(
            "privacy.sampling=shuffled: this run cannot be resumed: its random order is lost, and records might join "
            "a pass twice. Start a new run; privacy.sampling=poisson can be resumed."
        )
    # Epsilon is that of a unit. If items move between units, what was spent no longer tells about any of them.
    if account.last.grouping != grouping(lab.study):
        raise RunError(
            f"{lab.run.folder / FILE}: the run was planned for other privacy units than the data now has. Restore the "
            "data, or start a new run."
        )
    return account


def randomness(account: Account, seed: int, processes: Processes) -> Randomness:
    """Return the source of sampling and noise: seeded, or secure under a fresh key that all processes share."""
    if account.last.randomness == "seeded":
        return Seeded(seed, account.stage)
    # A resumed run gets another key. Noise that is replayed on other data would no longer hide it (docs/privacy.md,
    # "Randomness").
    return Secure(processes.share(Secure.new_key()))


def _units(
    name: str, items: Sequence[Item], examples: Sequence[Example], account: Account, lab: Laboratory
) -> list[Unit]:
    # Units matter only for protected sets; an unprotected set takes its items one by one.
    if name not in account.last.spendings:
        return [Unit(name, [example]) for example in examples]
    grouped = group(items, lab.study.config).values()
    return [Unit(name, [examples[i] for i in own]) for own in grouped]
