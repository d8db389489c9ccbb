"""A model's privacy account: how much epsilon each of its runs has spent, and on which records.

The account is stored as privacy.json beside the adapter and goes wherever the adapter goes, so that a later run on the
same model adds to it instead of starting at zero.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from duolearn_cli.config.privacy import ACCOUNT_FILE, ACCOUNT_MARK, SETS
from duolearn_cli.errors import RunError
from duolearn_cli.files import read_json, write_json
from duolearn_cli.model.adapter_files import ADAPTER_FILE
from duolearn_cli.privacy.accounting import LIBRARY, Spending, epsilon

FILE, SCHEMA = ACCOUNT_FILE, 1
# The next three are written into privacy.json: the file alone must say what its epsilon means.
ADJACENCY = "one data set is the other with one unit added or removed"
COVERS = (
    "what the adapter tells, given the model that the first run began with, about the units of the protected sets as "
    "they were after reading, splitting and cleaning; in exact arithmetic"
)
EXCLUDES = (
    "the model that the first run began with",
    "sets that are not protected",
    "every file of a run folder except the adapter: metrics, predictions, history and report are made from raw data",
    "the choice among runs whose results were looked at",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One stage of one run: what it spends on each protected set.

    Attributes:
        stage: ``learn`` or ``unlearn``.
        spendings: the spending of each protected set, by set name (``retain``, ``forget``).
        unprotected: names of the sets whose raw gradients the stage uses.
        num_units: the number of privacy units in each protected set; public.
        max_grad_norm: the clipping norm C of a unit's gradient.
        clipping: ``flat`` or ``automatic`` (`mechanism.clip_factors`).
        randomness: ``secure``, or ``seeded``: then the guarantee does not hold against anyone who knows the seed.
        begun: the number of steps begun, including steps that a crash lost.
        shared: whether a unit may be in both sets and so pays for both.
        start: digest of the adapter that the stage started from; for ``learn``, the base model's name in the cache.
        grouping: digest of the assignment of items to units.
        together: for each kind of record that several units may share (``fact``, ``patient``), how many units one
            such record has in each set. Only the largest combinations are listed. None: some units also hold items of
            other records, so that no group of units covers exactly one record.
    """

    stage: str
    spendings: Mapping[str, Spending]
    unprotected: tuple[str, ...]
    num_units: Mapping[str, int]
    max_grad_norm: float
    clipping: str
    randomness: str
    begun: int = 0
    shared: bool = False
    start: str = ""
    grouping: str = ""
    together: Mapping[str, Sequence[Mapping[str, int]] | None] = field(default_factory=dict)

    def paths(self, steps: int) -> list[tuple[Spending, ...]]:
        """The alternatives of what one unit has spent after `steps` steps.

        Each alternative is the spending of one set; with `shared` there is a single one, the spendings of both sets.
        """
        spent = [replace(spending, steps=steps) for spending in self.spendings.values()]
        return [tuple(spent)] if self.shared else [(spending,) for spending in spent]

    def paths_of(self, kind: str, steps: int) -> list[tuple[Spending, ...]] | None:
        """The alternatives of what all units of one `kind` of record (a fact, a patient) have spent after `steps`.

        If no units share a record of this kind, these are the alternatives of a single unit. None if the spending has
        no bound: some of the units are in an unprotected set, or also hold items of other records.
        """
        groups = self.together.get(kind, [])
        if groups == []:
            return self.paths(steps)
        if groups is None or any(group.get(name) for group in groups for name in self.unprotected):
            return None
        return [
            tuple(replace(self.spendings[name], steps=steps, group=size) for name, size in group.items() if size)
            for group in groups
        ]


@dataclass(frozen=True, slots=True)
class Account:
    """Everything that was spent on one model. The last entry is the current run.

    Attributes:
        unit: the privacy unit, ``example``, ``fact`` or ``patient``.
        delta: the delta at which every epsilon of the account holds.
        budget: the epsilon that all entries together may reach.
        accountant: ``pld`` or ``rdp`` (`accounting.epsilon`).
        entries: the stages of all runs, oldest first.
    """

    unit: str
    delta: float
    budget: float
    accountant: str
    entries: tuple[Entry, ...] = field(default=())

    @property
    def last(self) -> Entry:
        return self.entries[-1]

    @property
    def stage(self) -> str:
        """A name for the last entry that is unique within this account; empty for a first run of unlearning.

        The name is part of the seed of reproducible noise (`randomness.Seeded`), so its wording must not change.
        """
        return (
            "" if [entry.stage for entry in self.entries] == ["unlearn"] else f"{self.last.stage} {len(self.entries)}"
        )

    @property
    def is_promise(self) -> bool:
        """Whether epsilon is a guarantee: nobody can reproduce the noise of any entry."""
        return all(entry.randomness == "secure" for entry in self.entries)

    @property
    def num_steps(self) -> int:
        """The number of steps that the last entry plans."""
        return max(spending.steps for spending in self.last.spendings.values())

    def begin(self, entry: Entry) -> Account:
        """Return the account with `entry` appended."""
        return replace(self, entries=(*self.entries, entry))

    def after(self, begun: int) -> Account:
        """Return the account as it is once the last entry has begun `begun` steps."""
        return replace(self, entries=(*self.entries[:-1], replace(self.last, begun=begun)))

    def began_with(self, model: str) -> Account:
        """Return the account with `model`, a digest, recorded as what the last entry started from.

        Raises:
            RunError: the entry already started from another model. The learning of this one would then be in nobody's
                account.
        """
        if self.last.start not in ("", model):
            raise RunError(
                "the model that this run started from is gone: another was put or learned in its place, and the run's "
                "account does not cover it. Put the adapter back, or start a new run."
            )
        return replace(self, entries=(*self.entries[:-1], replace(self.last, start=model)))

    def planned(self) -> Account:
        """Return the account as it is once the last entry has taken all its steps."""
        return self.after(self.num_steps)

    def epsilon(self, name: str, *, alone: bool = False) -> float:
        """The largest epsilon of any unit in set `name` of the last entry.

        A unit may have been in either protected set of an earlier entry; the set that costs it most is assumed.

        Args:
            name: ``retain`` or ``forget``.
            alone: count the last entry only, instead of composing all entries.

        Returns:
            Epsilon at `delta`; infinity for a set that is not protected.
        """
        if name not in self.last.spendings:
            return math.inf
        # The account does not record which units an earlier stage used unprotected, so any unit may be one of them.
        if not alone and any(entry.unprotected for entry in self.entries[:-1]):
            return math.inf
        entry = self.last
        own = entry.paths(entry.begun)[0 if entry.shared else list(entry.spendings).index(name)]
        earlier = [e.paths(e.begun) for e in self.entries[:-1]] if not alone else []
        # Composition does not depend on the order. Sorting makes equal combinations equal keys, so that many requests
        # on the same terms do not double the number of combinations each time.
        combinations = {tuple(sorted(itertools.chain(own, *path), key=repr)) for path in itertools.product(*earlier)}
        return max(epsilon(spendings, self.delta, self.accountant) for spendings in combinations)

    @property
    def shared_kinds(self) -> list[str]:
        """The kinds of record that several units share: ``fact``, ``patient``, both or none."""
        return sorted({kind for entry in self.entries for kind in entry.together})

    def epsilon_of(self, kind: str) -> float:
        """The largest epsilon of all units of one `kind` of record together, over all entries; may be infinite."""
        paths = [entry.paths_of(kind, entry.begun) for entry in self.entries]
        if any(entry.unprotected for entry in self.entries[:-1]) or any(own is None for own in paths):
            return math.inf
        products = itertools.product(*(own for own in paths if own is not None))
        combinations = {tuple(sorted(itertools.chain(*product), key=repr)) for product in products}
        return max(epsilon(spendings, self.delta, self.accountant) for spendings in combinations)

    def in_both(self) -> Account:
        """The account as if every unit were in both sets of the last stage: an upper bound for either set."""
        return replace(self, entries=(*self.entries[:-1], replace(self.last, shared=True)))

    def spent(self) -> dict[str, float]:
        """The epsilon of each set; infinity for a set that is not protected."""
        return {name: self.epsilon(name) for name in SETS}

    def worst(self) -> float:
        """The largest epsilon of any protected set."""
        return max(self.epsilon(name) for name in self.last.spendings)

    def write(self, folder: Path, spent: Mapping[str, float] | None = None) -> None:
        """Write privacy.json (docs/privacy.md) into `folder`.

        Args:
            folder: an existing folder.
            spent: epsilon by set, or an upper bound of it. By default it is computed, which takes longer than a step.
        """
        spent = spent or self.spent()
        values = {
            "schema": SCHEMA,
            "promise": self.is_promise,
            "unit": self.unit,
            "adjacency": ADJACENCY,
            "delta": self.delta,
            "budget": self.budget,
            # JSON has no infinity: null stands for "no bound".
            "spent": {name: value if math.isfinite(value) else None for name, value in spent.items()},
            "accountant": self.accountant,
            "library": LIBRARY,
            "covers": COVERS,
            "excludes": EXCLUDES,
            "entries": [asdict(entry) for entry in self.entries],
        }
        write_json(folder / FILE, values)


def read_account(folder: Path) -> Account | None:
    """Read the account beside the adapter in `folder`; None if the model has none.

    Raises:
        RunError: the file cannot be read, or it is missing although the adapter is marked as having an account.
    """
    path, adapter = folder / FILE, folder / ADAPTER_FILE
    if not path.is_file():
        if adapter.is_file() and _is_marked(adapter):
            raise RunError(
                f"{path} is missing: this adapter was made with a privacy account, and without it nobody knows what "
                "has been spent. Copy the file from where the adapter comes from."
            )
        return None
    try:
        values = read_json(path)
        if values["schema"] != SCHEMA:
            raise ValueError(f"schema {values['schema']}, this version reads {SCHEMA}")
        return Account(
            unit=str(values["unit"]),
            delta=float(values["delta"]),
            budget=float(values["budget"]),
            accountant=str(values["accountant"]),
            entries=tuple(map(_entry, values["entries"])),
        )
    except (RunError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise RunError(
            f"{path} cannot be read: {error}. Without it nobody knows what this model's runs have spent. Put the "
            "file back as the run wrote it."
        ) from error


def _is_marked(adapter: Path) -> bool:
    """Whether the adapter's file says that it belongs to an account: a copy without privacy.json is then noticed."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(adapter, framework="numpy") as file:
            return ACCOUNT_MARK in (file.metadata() or {})
    except (OSError, SafetensorError):
        # A damaged adapter is reported by the code that loads it.
        return False


def _entry(values: Mapping[str, Any]) -> Entry:
    spendings = {name: Spending(**spending) for name, spending in values["spendings"].items()}
    return Entry(**{**values, "spendings": spendings, "unprotected": tuple(values["unprotected"])})


def composed_by_set(accounts: Sequence[Account]) -> dict[str, float]:
    """The epsilon of releasing several models together that were made from the same records, by set.

    All stages of all models are composed; a stage that several models share counts once. In the last stages a unit is
    always in the same set. In earlier ones it may have been in either protected set; the set that costs it most is
    assumed.

    Returns:
        Epsilon at the smallest delta of the accounts, by set name; infinity for a set that some last stage leaves
        unprotected.
    """
    delta, accountant = min(account.delta for account in accounts), accounts[0].accountant
    earlier: dict[object, Entry] = {}
    for i, account in enumerate(accounts):
        for k, (entry, following) in enumerate(itertools.pairwise(account.entries)):
            # Two stages are the same only if they left the same model, which its digest tells: equal terms are not
            # enough. A stage whose model has no digest counts for each account.
            stage = (repr(account.entries[: k + 1]), following.start) if following.start else (i, k)
            earlier[stage] = entry
    # Sorted, so that stages on equal terms give equal combinations: else the number doubles with each stage.
    combinations: set[tuple[Spending, ...]] = {()}
    for entry in earlier.values():
        paths = entry.paths(entry.begun)
        combinations = {tuple(sorted((*before, *path), key=repr)) for before in combinations for path in paths}
    epsilons: dict[str, float] = {}
    for name in SETS:
        if any(name not in account.last.spendings for account in accounts):
            epsilons[name] = math.inf
            continue
        lasts = [account.last for account in accounts]
        own = [e.paths(e.begun)[0 if e.shared else list(e.spendings).index(name)] for e in lasts]
        epsilons[name] = max(epsilon([*itertools.chain(*own), *before], delta, accountant) for before in combinations)
    return epsilons
