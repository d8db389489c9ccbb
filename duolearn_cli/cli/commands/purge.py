"""duolearn purge: delete what still holds forgotten data or can bring it back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from omegaconf import DictConfig

from duolearn_cli.cli.commands.asking import check_wanted
from duolearn_cli.cli.commands.common import Invocation, refuse_changes
from duolearn_cli.config.explain import key_of
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.data.earlier import spec_of
from duolearn_cli.errors import RunError
from duolearn_cli.files import cache_dir, file_hash
from duolearn_cli.pipeline import record, signing
from duolearn_cli.pipeline.known_runs import known_runs, read_known
from duolearn_cli.pipeline.prepare import load_hierarchy
from duolearn_cli.pipeline.purge import BEYOND, Purge, check_idle, plan_for_run, plan_for_target, purge
from duolearn_cli.pipeline.purged import FILE, record_purge
from duolearn_cli.pipeline.traces import TARGET
from duolearn_cli.report.tables import Table
from duolearn_cli.report.terminal import Display

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

CHANGEABLE = ("run", "yes", "dry_run", "output_dir", "cache_dir", "record.sign")


def run(config: DictConfig, invocation: Invocation) -> str:
    """List the traces, ask, delete them; return the run folder or nothing.

    Raises:
        RunError: no run folder, a run is under way, no yes, or something cannot be deleted.
    """
    display = Display()
    if config.run:
        refuse_changes(invocation.overrides, CHANGEABLE, "a run that is purged")
    key = signing.private_key(Path(config.record.sign), "record.sign") if config.record.sign else None
    plan, cache = _planned(config, invocation)
    if not plan.traces:
        display.note("nothing is left that holds the forgotten data or can bring it back, as far as duolearn can see")
        _say_what_is_left(plan, display)
        if not config.dry_run:
            _record_earlier(plan, key, display)
        return str(config.run or "")
    display.show(traces_table(plan))
    _say_what_is_left(plan, display)
    if config.dry_run:
        return ""
    # Before the question, so that nobody confirms what cannot be done.
    check_idle(plan)
    check_wanted(config, f"these {len(plan.traces)} files and folders ({_megabytes(plan.size)} MB)")
    purge(plan, cache, key)
    display.note(f"deleted; {FILE} of {len(plan.runs)} run folders has the hashes, and {record.FILE} lists the purge")
    if not key and (signed := [run.folder for run in plan.runs if (run.folder / signing.FILE).is_file()]):
        display.note(
            f"{signing.FILE} of {len(signed)} run folders belongs to the record from before this purge; to sign the "
            f"new one: duolearn verify run={signed[0]} sign=KEY.pem"
        )
    return str(config.run or "")


def _record_earlier(plan: Purge, key: Ed25519PrivateKey | None, display: Display) -> None:
    """Add to the records what an older version purged, which did not do so."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for run in plan.runs:
        before = file_hash(run.folder / record.FILE) if (run.folder / record.FILE).is_file() else None
        record_purge(run.folder, now, key)
        if before and file_hash(run.folder / record.FILE) != before:
            display.note(f"{run.folder / record.FILE} now lists what was purged earlier")


def _planned(config: DictConfig, invocation: Invocation) -> tuple[Purge, Path]:
    """Return what there is to delete, and the cache that was searched."""
    output, cache = Path(config.output_dir), cache_dir(config.cache_dir)
    if not config.run:
        target, hierarchy = spec_of(config.forget), load_hierarchy(cast(RunConfig, config))
        return plan_for_target(target, hierarchy, known_runs(output), cache), cache
    wanted = read_known(Path(config.run).resolve())
    if wanted is None:
        raise RunError(f"run={config.run} is no run folder: run.json and config.yaml are missing or cannot be read.")
    if not any(key_of(text) == "cache_dir" for text in invocation.overrides):
        # The run's own cache holds its target; the default one may not.
        cache = cache_dir(wanted.config.get("cache_dir"))
    return plan_for_run(wanted, known_runs(output, wanted.folder.parent), cache), cache


def traces_table(plan: Purge) -> Table:
    """One row for each file or folder: path, kind, reason, size."""
    rows: list[tuple[str, ...]] = []
    for root in dict.fromkeys(trace.root for trace in plan.traces):
        own = [trace for trace in plan.traces if trace.root == root]
        rows.append((str(root), "", "", _megabytes(sum(trace.size for trace in own))))
        rows += [(f"  {trace.name}", trace.kind, trace.why, _megabytes(trace.size)) for trace in own]
    title = "What holds the forgotten data or can bring it back"
    return Table(title, ("Path", "What", "Why", "MB"), tuple(rows), 3)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.2f}"


def _say_what_is_left(plan: Purge, display: Display) -> None:
    for sentence in plan.left:
        display.note(f"stays: {sentence}")
    if any(trace.kind == TARGET for trace in plan.traces):
        display.note("after this, `duolearn withdraw` can take no request out of a chain of these runs")
    display.note(f"beyond duolearn's reach: {BEYOND}")
