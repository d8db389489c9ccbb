"""Prove that a change of structure changed no number: `python scripts/same_numbers.py OTHER_CHECKOUT [JOB ...]`.

Runs the same jobs with the code of OTHER_CHECKOUT and with this one and compares what they leave byte for byte:
metrics, answers, the adapter. Times, dates, versions and paths are left out. Files and keys that only the code here
writes are no difference; such files are named. Each side has its own cache, so that both learn everything anew. Jobs:
demo, private, processes, resumed, benchmark, and crossed, which continues here a run that OTHER_CHECKOUT began. Ends
with status 1 if anything differs.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1]
SMALL = ["split.max_forget=24", "split.max_retain=48", "learn.epochs=2", "unlearn.epochs=3", "runtime.threads=1"]
PRIVATE = ["privacy=eps8", "privacy.randomness=seeded"]
RESUMABLE = ["unlearn.checkpoint_every=2"]
# What may differ between two equal runs.
VOLATILE = {"seconds", "time", "created", "ended", "versions", "platform", "date", "run", "folder", "environment"}
VOLATILE |= {"peak_memory_bytes", "command", "harness"}


class Side:
    """One checkout with a cache and an output folder of its own."""

    def __init__(self, checkout: Path, scratch: Path) -> None:
        self.checkout, self.scratch = checkout, scratch
        scratch.mkdir(parents=True)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        here = os.environ | {"PYTHONPATH": str(self.checkout), "DUOLEARN_CACHE": str(self.scratch / "cache")}
        command = [sys.executable, "-m", "duolearn_cli", *arguments]
        return subprocess.Popen(
            command, cwd=self.scratch, env=here, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, *arguments: str) -> None:
        process = self.start(*arguments)
        said, _ = process.communicate()
        if process.returncode:
            sys.exit(f"{self.checkout}: duolearn {' '.join(arguments)} failed:\n{said}")

    def interrupted(self, folder: Path, *arguments: str) -> None:
        """Begin a run in `folder` and stop it with Ctrl-C after its first checkpoint."""
        process = self.start("unlearn", *arguments, f"run_dir={folder}")
        while process.poll() is None and not list(folder.glob("checkpoints/*/*.json")):
            time.sleep(0.05)
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate()


def unlearned(*settings: str) -> Callable[[Side, Side], tuple[Path, Path]]:
    """A job that unlearns with `settings` on either side."""

    def job(other: Side, here: Side) -> tuple[Path, Path]:
        folders = []
        for side in (other, here):
            folders.append(side.scratch / f"run-{len(list(side.scratch.glob('run-*')))}")
            side.run("unlearn", "+forget=surgery", *settings, f"run_dir={folders[-1]}")
        return folders[0], folders[1]

    return job


def resumed(other: Side, here: Side) -> tuple[Path, Path]:
    """An interrupted and continued run here, beside one on the other side that ran through."""
    folders = (other.scratch / "through", here.scratch / "resumed")
    other.run("unlearn", "+forget=surgery", *SMALL, *RESUMABLE, f"run_dir={folders[0]}")
    here.interrupted(folders[1], "+forget=surgery", *SMALL, *RESUMABLE)
    here.run("unlearn", f"resume={folders[1]}")
    return folders


def crossed(other: Side, here: Side) -> tuple[Path, Path]:
    """A run that the other side began and this one continues, with the other's cache, beside one that ran through."""
    folders = (other.scratch / "whole", here.scratch / "crossed")
    other.run("unlearn", "+forget=surgery", *SMALL, *RESUMABLE, f"run_dir={folders[0]}")
    other.interrupted(folders[1], "+forget=surgery", *SMALL, *RESUMABLE)
    shutil.copytree(other.scratch / "cache", here.scratch / "cache", dirs_exist_ok=True)
    here.run("unlearn", f"resume={folders[1]}")
    return folders


def benchmark(other: Side, here: Side) -> tuple[Path, Path]:
    """Two methods, two tries each, one seed."""
    settings = [
        "+forget=surgery",
        *SMALL,
        "benchmark.methods=[npo,graddiff]",
        "benchmark.trials=2",
        "benchmark.seeds=[0]",
    ]
    for side in (other, here):
        side.run("benchmark", *settings, f"run_dir={side.scratch / 'benchmark'}")
    return other.scratch / "benchmark", here.scratch / "benchmark"


JOBS: dict[str, Callable[[Side, Side], tuple[Path, Path]]] = {
    "demo": unlearned("runtime.threads=1"),
    "private": unlearned(*SMALL, *PRIVATE),
    "processes": unlearned(*SMALL, "runtime.num_processes=2"),
    "resumed": resumed,
    "crossed": crossed,
    "benchmark": benchmark,
}


def lasting(value: Any) -> Any:
    """A JSON value without what may differ between two equal runs."""
    if isinstance(value, dict):
        return {key: lasting(inner) for key, inner in value.items() if key not in VOLATILE}
    return [lasting(inner) for inner in value] if isinstance(value, list) else value


def differences(other: Any, here: Any, path: str = "") -> Iterator[str]:
    """The paths in a JSON value of OTHER_CHECKOUT at which this code has something else or nothing."""
    if isinstance(other, dict) and isinstance(here, dict):
        for key, value in other.items():
            yield from differences(value, here.get(key), f"{path}/{key}")
    elif other != here:
        yield path or "/"


def unequal(name: str, other: str, here: str | None) -> list[str]:
    """Where a file of OTHER_CHECKOUT is not the same here."""
    if here is None:
        return [name]
    if not name.endswith(".json"):
        return [name] * (other != here)
    return [f"{name}:{path}" for path in differences(json.loads(other), json.loads(here))]


def contents(folder: Path) -> Iterator[tuple[str, str]]:
    """(path, hash of what lasts) of all numbers under a run folder."""
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.suffix == ".safetensors" and "checkpoints" not in path.parts:
            yield name, hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.name in ("metrics.json", "benchmark.json", "privacy.json"):
            yield name, json.dumps(lasting(json.loads(path.read_text(encoding="utf-8"))), sort_keys=True)
        elif path.suffix == ".jsonl":
            # In any order: a resumed run writes the curves of learned models once more.
            rows = {
                json.dumps(lasting(json.loads(line)), sort_keys=True) for line in path.read_text("utf-8").splitlines()
            }
            yield name, "\n".join(sorted(rows))


def main(arguments: list[str]) -> int:
    if not arguments or set(arguments[1:]) - set(JOBS):
        sys.exit(f"usage: python scripts/same_numbers.py OTHER_CHECKOUT [{' '.join(JOBS)}]")
    differing = 0
    with tempfile.TemporaryDirectory() as scratch:
        for name in arguments[1:] or JOBS:
            root = Path(scratch) / name
            sides = Side(Path(arguments[0]).resolve(), root / "other"), Side(HERE, root / "here")
            other, here = (dict(contents(folder)) for folder in JOBS[name](*sides))
            wrong = [place for path in sorted(other) for place in unequal(path, other[path], here.get(path))]
            differing += len(wrong) + (not other)
            added = f"; new: {', '.join(sorted({*here} - {*other}))}" if {*here} - {*other} else ""
            said = f"DIFFERENT: {', '.join(wrong[:20])} ({len(wrong)} places)" if wrong else "the same"
            print(f"{name}: {len(other)} files, {said}{added}", flush=True)
    return int(bool(differing))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
