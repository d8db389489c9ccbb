"""The write-ahead ledger of a private run: every step is recorded before it is computed."""

from __future__ import annotations

from pathlib import Path

from duolearn_cli.privacy.account import Account


class Ledger:
    """Lets a run take the steps that its account plans, and no more.

    Each step is written to privacy.json before any of it is computed. After a crash, steps whose results were lost
    therefore count as taken, because the resumed run repeats them with fresh noise. With ``seeded`` randomness it
    repeats exactly the same steps, and they count once.

    Args:
        account: the account, whose last entry is this run.
        folder: the run folder that privacy.json is written to.
        writes: False in all processes but the main one, which only count.
    """

    def __init__(self, account: Account, folder: Path, *, writes: bool = True) -> None:
        self.account, self._folder, self._writes = account, folder, writes
        # Accounting takes longer than a step. While the run lasts, the file therefore states the epsilon of all planned
        # steps: an upper bound of what was spent.
        self._bound = account.planned().spent() if writes else {}

    def lost(self, step: int) -> int:
        """How many steps a crash lost: begun after `step`, where the run resumes, and never to be repeated exactly."""
        return 0 if self.account.last.randomness == "seeded" else self.account.last.begun - step

    def begin(self, step: int) -> bool:
        """Record that `step` (from 1) begins. Return False, and record nothing, if no planned step is left."""
        entry = self.account.last
        # Seeded steps are identified by their number. Secure ones never come again, so each one adds to the count.
        begun = max(entry.begun, step) if entry.randomness == "seeded" else entry.begun + 1
        if begun > self.account.num_steps:
            return False
        self.account = self.account.after(begun)
        if self._writes:
            self.write(self._folder)
        return True

    def write(self, folder: Path) -> None:
        """Write the account to `folder`, so that a model copied from there before the run ends has its account."""
        self.account.write(folder, self._bound)
