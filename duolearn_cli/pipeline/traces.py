"""Files of run folders and of the cache that hold forgotten data or can bring it back."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from duolearn_cli.pipeline.cache_entries import files_of
from duolearn_cli.pipeline.known_runs import KnownRun, rows_of
from duolearn_cli.report.inputs import EXAMPLES

# Files that hold items or answers to them, or weights from before the end; and what messages call them.
OF_RUNS = {
    "predictions.jsonl": "predictions",
    "written.jsonl": "written answers",
    "original.jsonl": "answers before any request",
    "windows.jsonl": "scores of documents",
    "nearness.json": "groups of facts",
    EXAMPLES: "examples",
    "doubts.jsonl": "doubts",
    "rejected.jsonl": "rejected rows",
    "duplicates.jsonl": "duplicates",
    "robustness.jsonl": "answers under attack",
    "answers.json.gz": "answers of a benchmark",
    "checkpoints": "checkpoints",
}
# Numbers, settings and records: they hold no item, and the record needs them.
KEPT = (
    *("config.yaml", "run.json", "metrics.json", "history.jsonl", "privacy.json", "purged.json", "plain.jsonl"),
    *("record.json", "signature.json"),
)
# Files that are searched for the names of forgotten facts.
TEXTS = (".html", ".md", ".txt", ".json", ".jsonl", ".svg")
# Least number of characters of a fact's id that is searched for in texts.
SHORTEST = 8
# The splits that each cached model was taught.
TAUGHT = {"target": ("forget_train", "retain_train"), "gold": ("retain_train",)}
TARGET, MENTIONS = "target model", "mentions"


@dataclass(frozen=True, slots=True)
class Trace:
    """A file or folder that holds forgotten data or can bring it back.

    Attributes:
        kind: the name of its kind in messages and purged.json.
        why: what it holds.
        root: the run folder or the cache that it lies in.
        runs: folders of the runs whose records list it.
    """

    path: Path
    kind: str
    why: str
    root: Path
    runs: tuple[Path, ...] = field(default=())

    @property
    def name(self) -> str:
        """The path below `root`."""
        return str(self.path.relative_to(self.root))

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for path in files_of(self.path))


def forgotten_facts(run: KnownRun, models: Path) -> set[str]:
    """The facts on the forget side of a run: from its predictions, else from the answers of its cached target."""
    rows = list(rows_of(run.folder / "predictions.jsonl"))
    facts = {str(row["fact"]) for row in rows if str(row.get("split", "")).startswith("forget") and "fact" in row}
    if not facts and run.target:
        for by_split in _answers(models / run.target):
            facts |= {fact for split, own in by_split.items() if split.startswith("forget") for fact in own}
    return facts


def traces_of_run(run: KnownRun, facts: Collection[str]) -> Iterator[Trace]:
    """The files of a run folder that hold its items, and other files that name a forgotten fact."""
    for name, kind in OF_RUNS.items():
        if (path := run.folder / name).exists():
            yield Trace(path, kind, _why(kind), run.folder, (run.folder,))
    if run.command == "learn" and (run.folder / "adapter").is_dir():
        yield Trace(run.folder / "adapter", TARGET, "a copy of the model that knows it", run.folder, (run.folder,))
    for path in sorted(run.folder.glob("*")):
        if path.name in KEPT or path.name in OF_RUNS or path.suffix not in TEXTS:
            continue
        if names_any(path, facts):
            yield Trace(path, "texts", "names forgotten facts", run.folder, (run.folder,))


def is_purgeable(name: str, command: str) -> bool:
    """Whether a purge may delete this file of a run folder of `command`. `name` is its path there, with slashes."""
    top, _, below = name.partition("/")
    if top == "adapter":
        return command == "learn"
    # Whether a text named a fact cannot be seen once it is deleted. A purge looks only at such files.
    is_text = not below and top not in KEPT and PurePosixPath(top).suffix in TEXTS
    return top in OF_RUNS or is_text


def _why(kind: str) -> str:
    return "weights and gradients from before the end" if kind == "checkpoints" else "items, or answers to them"


def names_any(path: Path, facts: Collection[str]) -> bool:
    """Whether a text file names one of these facts. Ids that are numbers or short words are not searched for."""
    # Such an id, for example 12, occurs in almost any text, and every report and log would count as a trace.
    telling = [fact for fact in facts if len(fact) >= SHORTEST and not fact.isdecimal()]
    with suppress(OSError):
        text = path.read_text(encoding="utf-8", errors="replace")
        return any(fact in text for fact in telling)
    return False


def facts_in(path: Path) -> set[str]:
    """The facts in a JSON or JSON-lines file of answers; none if it is missing or damaged."""
    if path.suffix == ".jsonl":
        return {str(row["fact"]) for row in rows_of(path) if "fact" in row}
    with suppress(OSError, ValueError):
        kept = json.loads(path.read_text(encoding="utf-8"))
        rows = [row for own in kept.values() for row in own] if isinstance(kept, dict) else kept
        return {str(row["fact"]) for row in rows or () if isinstance(row, dict) and "fact" in row}
    return set()


def traces_of_target(run: KnownRun, cache: Path) -> Iterator[Trace]:
    """The cached target model of a run with all of its answers, and a half-written one beside it."""
    for name in (run.target, f"{run.target}.part") if run.target else ():
        if (path := cache / "models" / name).is_dir():
            yield Trace(path, TARGET, "it knows what was forgotten", cache, (run.folder,))


def traces_of_facts(cache: Path, facts: Collection[str], runs: Sequence[KnownRun], *, teach: bool) -> Iterator[Trace]:
    """Answers of cached models to these facts; with `teach`, whole models that were taught one of them."""
    for folder in sorted(path for path in (cache / "models").glob("*") if path.is_dir()):
        owners = tuple(run.folder for run in runs if folder.name in (run.target, run.gold))
        if teach and was_taught(folder, facts):
            yield Trace(folder, TARGET, "it was taught what was forgotten", cache, owners)
            continue
        if teach and (own := sorted(folder.glob("documents-*.json"))):
            yield from (
                Trace(path, f"scores of {folder.name.partition('-')[0]}", "who is in it", cache, owners) for path in own
            )
        for path in sorted([*folder.glob("answers-*.json"), *folder.glob("written-*.json")]):
            if not facts_in(path).isdisjoint(facts):
                kind = f"answers of {folder.name.partition('-')[0]}"
                yield Trace(path, kind, "answers to forgotten items", cache, owners)


def was_taught(folder: Path, facts: Collection[str]) -> bool:
    """Whether a cached model learned one of these facts, as far as its answers show."""
    splits = TAUGHT.get(folder.name.partition("-")[0], ())
    return any(fact in facts for by_split in _answers(folder) for split in splits for fact in by_split.get(split, ()))


def unknown_targets(cache: Path, runs: Sequence[KnownRun]) -> Iterator[Trace]:
    """Yield cached target models whose training items are unknown: no run names them, and no answers are cached."""
    named = {run.target for run in runs}
    for folder in sorted((cache / "models").glob("target-*")):
        if folder.is_dir() and folder.name not in named and not any(_answers(folder)):
            yield Trace(folder, TARGET, "it is unknown what it was taught", cache)


def traces_of_mentions(cache: Path) -> Iterator[Trace]:
    """Concepts that were found in the texts of large data sets. The files do not say in which data set."""
    for path in sorted((cache / "mentions").glob("*.jsonl")):
        # Forms are made of the terms of a hierarchy, and hold nothing of any data set.
        if not path.name.startswith("forms-"):
            yield Trace(path, MENTIONS, "which concepts texts hold, without the texts", cache)


def _answers(folder: Path) -> Iterator[dict[str, set[str]]]:
    """The facts that a cached model was asked about, by split, one file after the other."""
    for path in sorted(folder.glob("answers-*.json")):
        with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            kept: dict[str, list[dict[str, Any]]] = json.loads(path.read_text(encoding="utf-8"))
            yield {split: {str(row["fact"]) for row in rows} for split, rows in kept.items()}
