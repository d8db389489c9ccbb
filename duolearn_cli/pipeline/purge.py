"""Delete what still holds forgotten data or can bring it back. Its hashes stay in the record."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duolearn_cli.concepts.hierarchy import Hierarchy, Target, resolve_target
from duolearn_cli.config.forget import ForgetTarget
from duolearn_cli.errors import RunError, UserError
from duolearn_cli.files import file_hash, write_json
from duolearn_cli.pipeline.cache_entries import delete, files_of
from duolearn_cli.pipeline.known_runs import KnownRun
from duolearn_cli.pipeline.purged import FILE, record_purge
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.traces import (
    OF_RUNS,
    Trace,
    facts_in,
    forgotten_facts,
    traces_of_facts,
    traces_of_mentions,
    traces_of_run,
    traces_of_target,
    unknown_targets,
    was_taught,
)
from duolearn_cli.report.inputs import EXAMPLES

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SCHEMA = 1
# What no program can find or delete.
BEYOND = (
    "your own data files, exports and copies elsewhere, backups, snapshots of the file system, and blocks of a disk "
    "that were freed and not yet written over"
)


@dataclass(frozen=True, slots=True)
class Purge:
    """What will be deleted, of which runs, and what stays although it holds the data: a sentence for each."""

    traces: list[Trace]
    runs: list[KnownRun]
    left: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(trace.size for trace in self.traces)


def plan_for_run(run: KnownRun, runs: Sequence[KnownRun], cache: Path) -> Purge:
    """The traces of a run: in its folder, in runs that scored it or share its target model, and in the cache."""
    own = [run, *(other for other in runs if other.folder != run.folder and _belongs(other, run))]
    facts = set().union(*(forgotten_facts(one, cache / "models") for one in own))
    traces = [trace for one in own for trace in traces_of_run(one, facts)]
    traces += [trace for one in own for trace in traces_of_target(one, cache)]
    # Without `teach`: models of other requests that keep the same items are named and stay (docs/deployment.md).
    traces += traces_of_facts(cache, facts, runs, teach=False)
    # The files do not say which data set they are about. A later run finds the mentions again.
    traces += traces_of_mentions(cache)
    others = [other for other in runs if other not in own and _holds(other, facts)]
    left = [
        f"{other.folder}: another request's run on the same items; duolearn purge run={other.folder}, or +forget=NAME "
        "for all runs at once"
        for other in others
    ]
    left += _taught_models(cache, facts, traces)
    # Traces that belong to none of these runs, such as answers of the base model, go into this run's record.
    folders = {one.folder for one in own}
    recorded = [replace(trace, runs=tuple(folders & set(trace.runs)) or (run.folder,)) for trace in traces]
    return Purge(_distinct(recorded), own, [*left, *_data_files(own)])


def plan_for_target(target: ForgetTarget, hierarchy: Hierarchy, runs: Sequence[KnownRun], cache: Path) -> Purge:
    """The traces of all that any run has forgotten of a target, in all runs and the whole cache."""
    wanted = resolve_target(target, hierarchy)
    asked = [run for run in runs if _overlaps(run, wanted, hierarchy)]
    facts = set().union(*(forgotten_facts(run, cache / "models") for run in asked)) if asked else set()
    own = [run for run in runs if run in asked or any(_belongs(run, one) for one in asked) or _holds(run, facts)]
    traces = [trace for run in own for trace in traces_of_run(run, facts)]
    traces += [trace for run in asked for trace in traces_of_target(run, cache)]
    traces += traces_of_facts(cache, facts, runs, teach=True)
    # A run without predictions may be under way with a model that was taught the items.
    named = {folder for trace in traces for folder in trace.runs}
    own = [run for run in runs if run in own or run.folder in named]
    # A target that no run names may have learned the items, and nothing shows that it has not.
    traces += unknown_targets(cache, runs)
    traces += traces_of_mentions(cache)
    left = [
        f"{run.folder}/adapter: a model of another request that keeps these items; unlearn there too, or delete it"
        for run in own
        # Such an adapter is the result of another request, so it is named and stays.
        if run not in asked and run.command in ("unlearn", "retrain") and (run.folder / "adapter").is_dir()
    ]
    return Purge(_distinct(traces), own, [*left, *_data_files(own)])


def _belongs(other: KnownRun, run: KnownRun) -> bool:
    """Whether it scored or attacked the run, has the same target model, or one is a part of the other (benchmark)."""
    is_part = other.folder.is_relative_to(run.folder) or run.folder.is_relative_to(other.folder)
    return is_part or other.scored == run.folder or (run.target is not None and other.target == run.target)


def _holds(run: KnownRun, facts: Iterable[str]) -> bool:
    return not facts_in(run.folder / "predictions.jsonl").isdisjoint(facts)


def _overlaps(run: KnownRun, wanted: Target, hierarchy: Hierarchy) -> bool:
    """Whether the run's request overlaps the target: in its name, a label or a concept."""
    given = run.config.get("forget") or {}
    if not isinstance(given, dict) or given.get("name") in (None, "???"):
        return False
    if given["name"] == wanted.name:
        return True
    with suppress(UserError, TypeError):  # concepts of another hierarchy can be compared by name only
        own = resolve_target(ForgetTarget(**given), hierarchy)
        return not (own.labels.isdisjoint(wanted.labels) and own.forget.isdisjoint(wanted.forget))
    return False


def _taught_models(cache: Path, facts: set[str], traces: Sequence[Trace]) -> list[str]:
    """Sentences about cached models of other requests that were taught the same facts."""
    gone = {trace.path for trace in traces}
    found = [path for path in sorted((cache / "models").glob("*")) if path.is_dir() and path not in gone]
    return [
        f"{path}: a model of another request that was taught these items; duolearn purge +forget=NAME deletes it too"
        for path in found
        if was_taught(path, facts)
    ]


def _data_files(runs: Iterable[KnownRun]) -> list[str]:
    paths = dict.fromkeys(str(path) for run in runs if (path := (run.config.get("dataset") or {}).get("path")))
    return [f"{path}: the data file, which is yours" for path in paths if Path(path).exists()]


def _distinct(traces: Iterable[Trace]) -> list[Trace]:
    """Each path once, with all runs that it belongs to, without paths inside a folder that is deleted as a whole."""
    by_path: dict[Path, Trace] = {}
    for trace in traces:
        known = by_path.get(trace.path)
        runs = tuple(dict.fromkeys([*(known.runs if known else ()), *trace.runs]))
        first = known or trace
        by_path[trace.path] = Trace(first.path, first.kind, first.why, first.root, runs)
    return [trace for path, trace in by_path.items() if not any(parent in by_path for parent in path.parents)]


def check_idle(purge: Purge) -> None:
    """Raise RunError if one of the runs is under way."""
    for run in purge.runs:
        if run.is_running:
            raise RunError(f"{run.folder} is being run by process {run.info['pid']}; wait for it or stop it first.")


def purge(plan: Purge, cache: Path, key: Ed25519PrivateKey | None = None) -> None:
    """Write the records, delete the files, then mark the runs, so that nothing is ever gone without a record.

    Args:
        key: signs the records of the runs, to which the purge is added.

    Raises:
        RunError: a run is under way, a model is in use, or a file cannot be deleted.
    """
    # Again: a run may have begun while the user read the list.
    check_idle(plan)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    # All hashes first: once a file is deleted there is nothing left to hash.
    rows = {trace.path: _rows(trace, now) for trace in plan.traces}
    for run in plan.runs:
        add_to_record(run.folder, [row for t in plan.traces if run.folder in t.runs for row in rows[t.path]])
    if unowned := [row for t in plan.traces if not t.runs for row in rows[t.path]]:
        add_to_record(cache, unowned)
    for run in plan.runs:
        record_purge(run.folder, now, key)
    for trace in plan.traces:
        delete(trace.path)
        if trace.kind == OF_RUNS[EXAMPLES]:
            _without_questions(trace.root)
    for run in plan.runs:
        _mark(run.run(), plan.traces, now)


def _without_questions(folder: Path) -> None:
    """Write the report of a run again, which holds no question once its examples are deleted."""
    # Here: the report needs libraries that a dry run must not wait for.
    from duolearn_cli.report.page import write_report

    if not (folder / "report.html").is_file():
        return
    try:
        write_report(folder)
    except UserError:  # files that it needs are gone, and no report is safer than one with questions
        for name in ("report.html", "report.md"):
            delete(folder / name)


def _rows(trace: Trace, now: str) -> list[dict[str, Any]]:
    """A row of purged.json for each file: its path in the run folder or in the cache, hash, size, date."""
    return [
        {
            "place": "run" if trace.root in trace.runs else "cache",
            "path": path.relative_to(trace.root).as_posix(),
            "kind": trace.kind,
            "sha256": file_hash(path),
            "size": path.stat().st_size,
            "date": now,
        }
        for path in files_of(trace.path)
    ]


def add_to_record(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Add the rows that the folder's purged.json does not have yet."""
    if not rows:
        return
    path = folder / FILE
    known = json.loads(path.read_text(encoding="utf-8"))["files"] if path.is_file() else []
    # An interrupted purge has written its rows already, with another date.
    seen = {(row["place"], row["path"], row["sha256"]) for row in known}
    new = [row for row in rows if (row["place"], row["path"], row["sha256"]) not in seen]
    write_json(path, {"schema": SCHEMA, "files": [*known, *new], "not_covered": BEYOND})


def _mark(run: Run, traces: Sequence[Trace], now: str) -> None:
    """Say in run.json when the run was purged, and of what."""
    kinds = [trace.kind for trace in traces if run.folder in trace.runs]
    before = (run.info.get("purged") or {}).get("gone", [])
    if kinds or before:
        run.update(purged={"date": now, "gone": list(dict.fromkeys([*before, *kinds]))})
