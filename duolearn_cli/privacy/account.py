"""The account of a model: what its runs have spent of whose privacy. It travels with the adapter as privacy.json."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from duolearn_cli.config.privacy import ACCOUNT_FILE, ACCOUNT_MARK, SETS
from duolearn_cli.errors import RunError
from duolearn_cli.files import write_json
from duolearn_cli.model.adapter_files import ADAPTER_FILE
from duolearn_cli.privacy.accounting import LIBRARY, Spending, epsilon

FILE, SCHEMA = ACCOUNT_FILE, 1
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
    """One stage of one run. `spendings` are those of its protected sets, by name: ``retain``, ``forget``.

    Attributes:
        stage: ``learn`` or ``unlearn``.
        begun: steps that were begun, also those that a crash has lost.
        shared: units may be in both sets, and pay for both.
        randomness: ``secure``, or ``seeded``: then nothing is promised to whoever knows the seed.
        start: a digest of the adapter that it began with; of learning, the base's name in the cache.
        grouping: a digest of which items each unit has.
        together: by what units may share (``fact``, ``patient``), the numbers of units, by set, that one of these has;
            only the largest. None: its units hold items of others too, and no group of units is just one of these.
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
        """What a unit can have paid after `steps`: that of its set, one alternative a set, or all together."""
        paid = [replace(spending, steps=steps) for spending in self.spendings.values()]
        return [tuple(paid)] if self.shared else [(one,) for one in paid]

    def paths_of(self, kind: str, steps: int) -> list[tuple[Spending, ...]] | None:
        """What all units of one fact or patient can have paid together; of units that share none, what one can.

        None where nothing bounds it: some of its units are not protected, or hold items of others too.
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
    """All that was spent on one model. The last entry is the run at hand.

    `budget` is the epsilon at `delta` that all entries together may reach.
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
        """A name for the last entry among those of this model; empty where it is the only one and unlearns."""
        return (
            "" if [entry.stage for entry in self.entries] == ["unlearn"] else f"{self.last.stage} {len(self.entries)}"
        )

    @property
    def is_promise(self) -> bool:
        """Whether the noise of every entry is known to nobody."""
        return all(entry.randomness == "secure" for entry in self.entries)

    @property
    def num_steps(self) -> int:
        """How many steps the last entry has planned."""
        return max(spending.steps for spending in self.last.spendings.values())

    def begin(self, entry: Entry) -> Account:
        """The account with one more entry."""
        return replace(self, entries=(*self.entries, entry))

    def after(self, begun: int) -> Account:
        """The account when the last entry has begun so many steps."""
        return replace(self, entries=(*self.entries[:-1], replace(self.last, begun=begun)))

    def began_with(self, model: str) -> Account:
        """The account with the model that the last entry began with.

        Raises:
            RunError: it has begun already, with another one: then that one's learning would be paid for by nobody.
        """
        if self.last.start not in ("", model):
            raise RunError(
                "the model that this run began with is gone: another was put or learned in its place, and its account "
                "is not that of the run. Put the adapter back, or start a new run."
            )
        return replace(self, entries=(*self.entries[:-1], replace(self.last, start=model)))

    def planned(self) -> Account:
        """The account when the last entry has taken all its steps."""
        return self.after(self.num_steps)

    def epsilon(self, name: str, *, alone: bool = False) -> float:
        """What a unit of the last entry's set `name` has paid at most, in this entry alone or in all of them.

        Before, it was in whichever protected set made it pay most. Infinite for a set that is not protected.
        """
        if name not in self.last.spendings:
            return math.inf
        # Nobody can tell which records an earlier stage has used as they were: any may be among them.
        if not alone and any(entry.unprotected for entry in self.entries[:-1]):
            return math.inf
        entry = self.last
        own = entry.paths(entry.begun)[0 if entry.shared else list(entry.spendings).index(name)]
        earlier = [e.paths(e.begun) for e in self.entries[:-1]] if not alone else []
        # Orders do not matter: repeated requests with equal terms collapse.
        choices = {tuple(sorted(itertools.chain(own, *path), key=repr)) for path in itertools.product(*earlier)}
        return max(epsilon(choice, self.delta, self.accountant) for choice in choices)

    @property
    def shared_kinds(self) -> list[str]:
        """What units share: ``fact``, ``patient``, both or nothing."""
        return sorted({kind for entry in self.entries for kind in entry.together})

    def epsilon_of(self, kind: str) -> float:
        """What all units of one fact or patient (`kind`) have paid at most, in all entries together."""
        paths = [entry.paths_of(kind, entry.begun) for entry in self.entries]
        if any(entry.unprotected for entry in self.entries[:-1]) or any(own is None for own in paths):
            return math.inf
        ways = itertools.product(*(own for own in paths if own is not None))
        choices = {tuple(sorted(itertools.chain(*way), key=repr)) for way in ways}
        return max(epsilon(choice, self.delta, self.accountant) for choice in choices)

    def spent(self) -> dict[str, float]:
        """The epsilon of each set, infinite for one that is not protected."""
        return {name: self.epsilon(name) for name in SETS}

    def worst(self) -> float:
        """The largest epsilon of the protected sets."""
        return max(self.epsilon(name) for name in self.last.spendings)

    def write(self, folder: Path, spent: Mapping[str, float] | None = None) -> None:
        """Write privacy.json (docs/privacy.md), with `spent` where that is known already, or a bound of it."""
        spent = spent or self.spent()
        values = {
            "schema": SCHEMA,
            "promise": self.is_promise,
            "unit": self.unit,
            "adjacency": ADJACENCY,
            "delta": self.delta,
            "budget": self.budget,
            # JSON has no infinity: null says that nothing bounds it.
            "spent": {name: value if math.isfinite(value) else None for name, value in spent.items()},
            "accountant": self.accountant,
            "library": LIBRARY,
            "covers": COVERS,
            "excludes": EXCLUDES,
            "entries": [asdict(entry) for entry in self.entries],
        }
        write_json(folder / FILE, values)


def read_account(folder: Path) -> Account | None:
    """The account beside an adapter, None where there is none.

    Raises:
        RunError: it cannot be read, or is missing although the adapter says that it has one.
    """
    path, adapter = folder / FILE, folder / ADAPTER_FILE
    if not path.is_file():
        if adapter.is_file() and _is_marked(adapter):
            raise RunError(
                f"{path} is missing: this adapter was made with a privacy account, without which nobody knows what has "
                "been spent. Copy it from where the adapter comes from."
            )
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["schema"] != SCHEMA:
            raise ValueError(f"schema {found['schema']}, this version reads {SCHEMA}")
        return Account(
            unit=str(found["unit"]),
            delta=float(found["delta"]),
            budget=float(found["budget"]),
            accountant=str(found["accountant"]),
            entries=tuple(map(_entry, found["entries"])),
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise RunError(
            f"{path} cannot be read: {error}. Without it nobody knows what this model's runs have spent; put the "
            "file back as the run wrote it."
        ) from error


def _is_marked(adapter: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(adapter, framework="numpy") as file:
            return ACCOUNT_MARK in (file.metadata() or {})
    except (OSError, SafetensorError):
        # Whoever loads the adapter says what is wrong with it.
        return False


def _entry(found: Mapping[str, Any]) -> Entry:
    spendings = {name: Spending(**values) for name, values in found["spendings"].items()}
    return Entry(**{**found, "spendings": spendings, "unprotected": tuple(found["unprotected"])})


def composed_by_set(accounts: Sequence[Account]) -> dict[str, float]:
    """By set, the epsilon of several models on the same records, released together, with all stages before them.

    A stage that several of them began with is paid once. A unit is in the same set in every last stage; before, it was
    in whichever protected set made it pay most. Infinite for a set that a last stage leaves unprotected.
    """
    delta, accountant = min(account.delta for account in accounts), accounts[0].accountant
    earlier: dict[object, Entry] = {}
    for i, account in enumerate(accounts):
        for k, (entry, following) in enumerate(itertools.pairwise(account.entries)):
            # Equal terms do not make the same model, its digest does; stages without one are paid for one by one.
            same = (repr(account.entries[: k + 1]), following.start) if following.start else (i, k)
            earlier[same] = entry
    # Orders do not matter: stages with equal terms collapse, or there would be two ways more with each of them.
    ways: set[tuple[Spending, ...]] = {()}
    for entry in earlier.values():
        ways = {tuple(sorted((*way, *path), key=repr)) for way in ways for path in entry.paths(entry.begun)}
    found: dict[str, float] = {}
    for name in SETS:
        if any(name not in account.last.spendings for account in accounts):
            found[name] = math.inf
            continue
        lasts = [account.last for account in accounts]
        own = [e.paths(e.begun)[0 if e.shared else list(e.spendings).index(name)] for e in lasts]
        found[name] = max(epsilon([*itertools.chain(*own), *way], delta, accountant) for way in ways)
    return found
