"""Private runs that began with the same model, or with one of its descendants: together they stay within its budget.

Each run copies the account of the model that it began with and adds to it. Two runs of one model would each see only
their own spending, although whoever has both results learns from both. So a private run leaves a copy of its account
beside the model that it begins with and beside each model before that, in a folder of its own under `private_runs`.
Later runs count it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import cast

from filelock import FileLock

from duolearn_cli.config.schema import RunConfig
from duolearn_cli.errors import ConfigError, RunError
from duolearn_cli.pipeline.chain_runs import last_hash
from duolearn_cli.pipeline.requests import FILE as REQUESTS
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.privacy.account import Account, Entry, composed_by_set, read_account

FOLDER = "private_runs"


def lineage(start: Path) -> list[Path]:
    """The folder of a model with an account, and those of the models before it, as far as run folders lead to them."""
    folders: list[Path] = []
    current: Path | None = start
    while current and current.is_dir() and current.resolve() not in [folder.resolve() for folder in folders]:
        if read_account(current) is None:
            break  # a first private run has a budget of its own
        folders.append(current)
        current = _before(current)
    return folders


def start_of(config: RunConfig) -> Path | None:
    """The folder of the adapter or merged model that a run begins with; None if it begins with a learned target."""
    given = config.adapter or (config.model.path if config.merged else None)
    return Path(given) if given else None


def _before(model: Path) -> Path | None:
    """The model that the run around `model` began with, or of a copy the original; None where there is neither."""
    run = Run.around(model)
    return start_of(cast(RunConfig, run[1])) if run else _original(model)


def _original(copied: Path) -> Path | None:
    """The adapter of a run beside an exported model that has the same last request; None without one."""
    last = last_hash(copied)
    beside = sorted(copied.resolve().parent.glob(f"*/adapter/{REQUESTS}")) if last else []
    return next((path.parent for path in beside if last_hash(path.parent) == last), None)


def register(start: Path, run: Path, account: Account) -> None:
    """Leave the planned account of `run` beside the model in `start` and those before it, unless a budget is exceeded.

    Raises:
        ConfigError: together with the runs that began there before, the budget would be exceeded.
        RunError: the folder of a model cannot be written.
    """
    folders = lineage(start)
    try:
        with ExitStack() as locks:
            # If two runs start at the same time, the second one must see the first. Later models are locked first, in
            # every run, so that no two runs wait for each other.
            for folder in folders:
                (folder / FOLDER).mkdir(exist_ok=True)
                locks.enter_context(FileLock(folder / FOLDER / "lock"))
            check(start, run, account)
            for folder in folders:
                own = _own(folder, run)
                own.mkdir(exist_ok=True)
                # The plan, because other runs may start before this one ends, and only then is known what it has spent.
                account.planned().write(own)
    except OSError as error:
        raise RunError(
            f"{error.filename or start} cannot be written ({error.strerror}): a private run leaves its account beside "
            f"the model that it begins with and those before it ({', '.join(map(str, folders))}), so that other runs "
            "of these models count it. Copy the adapters' folders to where you may write."
        ) from error


def check(start: Path, run: Path | None, account: Account) -> None:
    """Check that the budget covers a planned account together with other runs of the same models.

    Args:
        start: the folder of the model that the run began with. The models before it are checked too.
        run: the run folder, whose own registration does not count twice; None before there is one.

    Raises:
        ConfigError: the budget would be exceeded.
        RunError: the account of another run cannot be read.
    """
    for folder in lineage(start):
        _check_at(folder, siblings(folder, run), account.planned())


def _check_at(folder: Path, known: list[Account], account: Account) -> None:
    others = _others(known, account)
    if not others:
        return
    before = read_account(folder)
    total = epsilon_together([*known, account], len(before.entries) if before else 0)
    if total > account.budget:
        runs = "1 other private run" if len(others) == 1 else f"{len(others)} other private runs"
        own = max(account.epsilon(name, alone=True) for name in account.last.spendings)
        raise ConfigError(
            f"privacy.epsilon={own:.4g}: {runs} began with {folder} too, or with a model made from it. Together with "
            f"this one they spend epsilon {total:.4g}, and the model's budget is {account.budget:g}. Continue the "
            f"other run's model with after=RUN, give a smaller privacy.epsilon, or delete the folder in "
            f"{folder / FOLDER} of a run whose results nobody has or will have."
        )


def _others(known: list[Account], account: Account) -> list[Account]:
    """The accounts of `known` without those of the runs that led to this one, which its own account has already."""
    led = {_terms(account.entries[:end]) for end in range(1, len(account.entries))}
    others: list[Account] = []
    for one in known:
        # Two runs on the same terms have equal accounts, and only one of them led here.
        if (terms := _terms(one.entries)) in led:
            led.remove(terms)
        else:
            others.append(one)
    return others


def _terms(entries: Sequence[Entry]) -> str:
    """What stages were planned as. How far they came, and the digest of their start, are known only later."""
    return repr([(one.stage, sorted(one.spendings.items()), one.num_units, one.grouping) for one in entries])


def siblings(start: Path, run: Path | None) -> list[Account]:
    """The accounts of the private runs that began with `start` or a model made from it, without that of `run`."""
    own = _own(start, run) if run else None
    folders = sorted(path for path in (start / FOLDER).glob("*") if path.is_dir() and path != own)
    accounts = [(path, read_account(path)) for path in folders]
    for path, account in accounts:
        if account is None:
            raise RunError(f"{path} holds no privacy.json: what this run spent is unknown. Put the file back.")
    return [account for _, account in accounts if account is not None]


def epsilon_together(accounts: list[Account], num_before: int) -> float:
    """The largest epsilon of any set that all accounts protect. A unit may be in another set of each run.

    Args:
        accounts: of runs that began with one model, or with models made from it.
        num_before: the number of stages of that model, which come first in each account.
    """
    bounded = [_since(one, num_before, {_terms(other.entries) for other in accounts}).in_both() for one in accounts]
    found = [value for value in composed_by_set(bounded).values() if math.isfinite(value)]
    # If no set is bounded in all accounts, nothing is promised, and no budget covers that.
    return max(found, default=math.inf)


def _since(account: Account, num_before: int, known: set[str]) -> Account:
    """The account without the stages between the common model and the run that are `known` as runs of their own."""
    entries, first = account.entries, account.entries[:num_before]
    ends = range(num_before + 1, len(entries))
    between = [entries[end - 1] for end in ends if _terms(entries[:end]) not in known]
    rest = [*between, account.last]
    # What the common model had spent counts once; composition needs a common name to see that.
    rest[0] = replace(rest[0], start="one")
    return replace(account, entries=(*first, *rest))


def _own(start: Path, run: Path) -> Path:
    # A hash, so that the place of other people's runs is not handed on with the model.
    return start / FOLDER / hashlib.sha256(str(run.resolve()).encode()).hexdigest()[:16]
