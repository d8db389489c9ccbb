"""Private runs that began with the same model: together they must stay within its budget.

Each run copies the account of the model that it began with and adds to it. Two runs of one model would each see only
their own spending, although whoever has both results learns from both. So a private run leaves a copy of its account
beside the model that it begins with, in a folder of its own under `private_runs`, and later runs count it.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from pathlib import Path

from filelock import FileLock

from duolearn_cli.errors import ConfigError, RunError
from duolearn_cli.privacy.account import Account, composed_by_set, read_account

FOLDER = "private_runs"


def register(start: Path, run: Path, account: Account) -> None:
    """Leave the planned account of `run` beside the adapter in `start`, unless both would exceed the budget.

    Raises:
        ConfigError: together with the runs that began there before, the budget would be exceeded.
        RunError: the folder of the adapter cannot be written.
    """
    folder = start / FOLDER
    try:
        folder.mkdir(exist_ok=True)
        # If two runs start at the same time, the second one must see the first.
        with FileLock(folder / "lock"):
            check(start, run, account)
            own = _own(start, run)
            own.mkdir(exist_ok=True)
            # The plan, because other runs may start before this one ends, and only then is known what it has spent.
            account.planned().write(own)
    except OSError as error:
        raise RunError(
            f"{folder} cannot be written ({error.strerror}): a private run leaves its account beside the model that it "
            "begins with, so that other runs of this model count it. Copy the adapter's folder to where you may write."
        ) from error


def check(start: Path, run: Path | None, account: Account) -> None:
    """Check that the budget covers a planned account together with other runs that began with the same model.

    Args:
        start: the folder of the adapter that they began with.
        run: the run folder, whose own registration does not count twice; None before there is one.

    Raises:
        ConfigError: the budget would be exceeded.
        RunError: the account of another run cannot be read.
    """
    others = siblings(start, run)
    if not others:
        return
    total = epsilon_together([*others, account.planned()])
    if total > account.budget:
        runs = "1 other private run" if len(others) == 1 else f"{len(others)} other private runs"
        own = max(account.planned().epsilon(name, alone=True) for name in account.last.spendings)
        raise ConfigError(
            f"privacy.epsilon={own:.4g}: {runs} began with {start} too. Together with this one they "
            f"spend epsilon {total:.4g}, and the model's budget is {account.budget:g}. Continue the other run's model "
            f"with after=RUN, give a smaller privacy.epsilon, or delete the folder in {start / FOLDER} of a run whose "
            "results nobody has or will have."
        )


def siblings(start: Path, run: Path | None) -> list[Account]:
    """The accounts of the private runs that began with the adapter in `start`, without that of `run`."""
    own = _own(start, run) if run else None
    folders = sorted(path for path in (start / FOLDER).glob("*") if path.is_dir() and path != own)
    accounts = [(path, read_account(path)) for path in folders]
    for path, account in accounts:
        if account is None:
            raise RunError(f"{path} holds no privacy.json: what this run spent is unknown. Put the file back.")
    return [account for _, account in accounts if account is not None]


def epsilon_together(accounts: list[Account]) -> float:
    """The largest epsilon of any set that all accounts protect. A unit may be in another set of each run."""
    # All began with one model, so what it had spent before counts once; composition needs a common name to see that.
    bounded = [replace(one, entries=(*one.entries[:-1], replace(one.last, start="one"))).in_both() for one in accounts]
    found = [value for value in composed_by_set(bounded).values() if math.isfinite(value)]
    # If no set is bounded in all accounts, nothing is promised, and no budget covers that.
    return max(found, default=math.inf)


def _own(start: Path, run: Path) -> Path:
    # A hash, so that the place of other people's runs is not handed on with the model.
    return start / FOLDER / hashlib.sha256(str(run.resolve()).encode()).hexdigest()[:16]
