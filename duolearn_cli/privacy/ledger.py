"""What a run has begun to spend, written down before it is spent."""

from __future__ import annotations

from pathlib import Path

from duolearn_cli.privacy.account import Account


class Ledger:
    """Lets a run take the steps that its account has planned, and no more.

    The file says that a step was begun before any of it is computed: after a crash, steps whose result is lost count as
    taken, because they are taken again with other noise. With reproducible randomness they are the same steps again.
    """

    def __init__(self, account: Account, folder: Path, *, writes: bool = True) -> None:
        self.account, self._folder, self._writes = account, folder, writes
        # Accounting takes longer than a step: while steps are taken, the file tells what all of them will have spent.
        self._bound = account.planned().spent() if writes else {}

    def lost(self, step: int) -> int:
        """How many steps were begun beyond `step`, where a run goes on, and are not the ones that come again."""
        return 0 if self.account.last.randomness == "seeded" else self.account.last.begun - step

    def begin(self, step: int) -> bool:
        """Whether there is a step left; if so it counts from now on."""
        entry = self.account.last
        begun = max(entry.begun, step) if entry.randomness == "seeded" else entry.begun + 1
        if begun > self.account.num_steps:
            return False
        self.account = self.account.after(begun)
        if self._writes:
            self.write(self._folder)
        return True

    def write(self, folder: Path) -> None:
        """Write the account into a folder, for who takes the model from there before the run has ended."""
        self.account.write(folder, self._bound)
