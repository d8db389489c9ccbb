"""How soon a command answers: `python scripts/bench_startup.py FILE.json REPEATS`.

Times fresh processes, interleaved, so that a busy machine slows all alike; prints medians and their ratios to importing
Hydra. Processor seconds stand beside: they say what a machine with nothing else to do would need. The first line is
timed until it is there; nothing is run beyond it.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from duolearn_cli.report.tables import Table

PYTHON = (sys.executable, "-c")
DUOLEARN = (sys.executable, "-m", "duolearn_cli")
MAIN_JOB = ("unlearn", "+forget=surgery")
BASELINE = "import hydra"


@dataclass(frozen=True, slots=True)
class Start:
    """A command to time: to its end or to its `first_line`, with a cache that is empty or has been used before."""

    words: tuple[str, ...]
    first_line: bool = False
    empty_cache: bool = False


STARTS = {
    BASELINE: Start((*PYTHON, "import hydra")),
    "duolearn --help": Start((*DUOLEARN, "--help")),
    "duolearn unlearn --help": Start((*DUOLEARN, "unlearn", "--help")),
    "duolearn unlearn +forget=surgery --dry-run": Start((*DUOLEARN, *MAIN_JOB, "--dry-run")),
    "the same, empty cache": Start((*DUOLEARN, *MAIN_JOB, "--dry-run"), empty_cache=True),
    "first line of duolearn unlearn +forget=surgery": Start((*DUOLEARN, *MAIN_JOB), first_line=True),
    "first line, empty cache": Start((*DUOLEARN, *MAIN_JOB), first_line=True, empty_cache=True),
}


def timed(start: Start, folder: Path, cache: Path) -> tuple[float, float]:
    """Wall and processor seconds of one fresh process in `folder`."""
    with tempfile.TemporaryDirectory() as empty:
        environment = os.environ | {"DUOLEARN_CACHE": empty if start.empty_cache else str(cache)}
        used, began = _processor(), time.perf_counter()
        with subprocess.Popen(start.words, cwd=folder, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            if start.first_line:
                line = process.stdout.readline()
                process.kill()
            else:
                line = process.stdout.read()
            wall = time.perf_counter() - began
        if (start.first_line and not line.strip()) or process.returncode > 0:
            sys.exit(f"{' '.join(start.words)}: failed")
        return wall, _processor() - used


def _processor() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(repeats: int, names: Sequence[str] = tuple(STARTS)) -> dict[str, list[tuple[float, float]]]:
    """Wall and processor seconds of each start, `repeats` times; once before, unmeasured, so that files are at hand."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        cache, place = Path(folder) / "cache", Path(folder)
        # A dry run leaves no cache; this does, and makes no run folder.
        timed(Start((*DUOLEARN, "inspect", "+forget=surgery")), place, cache)
        for repeat in range(repeats + 1):
            for name in names:
                seconds = timed(STARTS[name], place, cache)
                if repeat:
                    found[name].append(seconds)
    return found


def ratios(found: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, float]:
    """Each start's median wall seconds over those of the import of Hydra."""
    medians = {name: statistics.median(wall for wall, _ in seconds) for name, seconds in found.items()}
    return {name: median / medians[BASELINE] for name, median in medians.items()}


def table(found: Mapping[str, Sequence[tuple[float, float]]]) -> Table:
    """One row a start: medians of wall and processor seconds, and the ratio."""
    ratio = ratios(found)
    rows = [
        (
            name,
            f"{statistics.median(wall for wall, _ in seconds):.2f}",
            f"{statistics.median(used for _, used in seconds):.2f}",
            f"{ratio[name]:.2f}",
        )
        for name, seconds in found.items()
    ]
    return Table("Start-up", ("start", "wall (s)", "processor (s)", f"wall over {BASELINE}"), tuple(rows))


def main(path: Path, repeats: int) -> None:
    found = measure(repeats)
    ratio = ratios(found)
    starts = {
        name: {
            "seconds": [wall for wall, _ in seconds],
            "processor_seconds": [used for _, used in seconds],
            "ratio": ratio[name],
        }
        for name, seconds in found.items()
    }
    path.write_text(json.dumps({"schema": 1, "repeats": repeats, "starts": starts}, indent=1) + "\n", encoding="utf-8")
    print(table(found).markdown())


if __name__ == "__main__":
    match sys.argv[1:]:
        case [file, count] if count.isdecimal() and int(count):
            main(Path(file), int(count))
        case _:
            sys.exit((__doc__ or "").strip())
