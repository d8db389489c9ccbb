"""duolearn cache: what the cache holds, and deleting parts of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from duolearn_cli.cli.commands.asking import check_wanted
from duolearn_cli.cli.commands.common import Invocation
from duolearn_cli.errors import ConfigError
from duolearn_cli.files import cache_dir
from duolearn_cli.pipeline.cache_entries import DAY, Entry, chosen, delete, entries, in_use, unknown_names
from duolearn_cli.pipeline.known_runs import known_runs, models_in_use
from duolearn_cli.report.tables import Table
from duolearn_cli.report.terminal import Display


def run(config: DictConfig, invocation: Invocation) -> str:
    """List the entries, or those that `prune` deletes, and delete them after a yes.

    Raises:
        ConfigError: no entry has a name that was given.
        RunError: no yes, or something cannot be deleted.
    """
    root, display = cache_dir(config.cache_dir), Display()
    found = entries(root)
    if config.cache.action == "list":
        display.show(entries_table(root, found))
        return ""
    if unknown := unknown_names(found, config.cache.names):
        raise ConfigError(f"cache.names: {root} holds no {', '.join(unknown)}; `duolearn cache` lists what it holds.")
    # The lock of a model is free between loading and the end of a run, so run folders are asked as well.
    held = dict(in_use(chosen(found, config.cache), models_in_use(known_runs(Path(config.output_dir)))))
    going = [entry for entry in chosen(found, config.cache) if entry not in held]
    for entry, why in held.items():
        display.note(f"stays: {entry.name}, {why}")
    if not going:
        display.note("there is nothing to delete")
        return ""
    display.show(entries_table(root, going))
    if not config.dry_run:
        check_wanted(config, f"these {len(going)} entries ({sum(entry.size for entry in going) / 1e6:.2f} MB)")
        for entry in going:
            delete(entry.path)
        display.note("deleted; what is needed again will be learned, found or fetched anew")
    return ""


def entries_table(root: Path, found: Sequence[Entry]) -> Table:
    """One row an entry, the largest first, and a sum."""
    now = time.time()
    rows = [
        (entry.name, entry.kind, f"{entry.size / 1e6:.2f}", _days(now - entry.made), _days(now - entry.used))
        for entry in sorted(found, key=lambda entry: -entry.size)
    ]
    total = ("together", "", f"{sum(entry.size for entry in found) / 1e6:.2f}", "", "")
    header = ("Name", "Kind", "MB", "Made, days ago", "Used, days ago")
    return Table(f"The cache in {root}", header, (*rows, total), 2)


def _days(seconds: float) -> str:
    return f"{max(0.0, seconds) / DAY:.1f}"
