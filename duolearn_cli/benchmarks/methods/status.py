"""How a run of a benchmark stands, read from its folder, so that any process can go on at any time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from duolearn_cli.errors import DivergedError

FINISHED, DIVERGED, NONE, OTHER = "finished", "diverged", "none", "other settings"
SETTLED = (FINISHED, DIVERGED)


def status_of(folder: Path, overrides: Sequence[str] = ()) -> str:
    """A run's status: finished, diverged, or a word for what is still to be done; ``none`` where there is no run.

    If `overrides` are given and the run's own do not end with them, the status is that of other settings.
    """
    try:
        info = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        status, error, given = str(info["status"]), str(info.get("error")), list(info.get("overrides") or overrides)
    except (OSError, ValueError, LookupError, TypeError):
        return NONE
    # The overrides that all runs share come first, those of a job last. Only the latter tell jobs apart.
    if overrides and given[-len(overrides) :] != list(overrides):
        return OTHER
    # Only divergence is a result of a method. Any other failure is done again by `resume=` (docs/benchmark.md).
    return DIVERGED if status == "failed" and error.startswith(DivergedError.__name__) else status
