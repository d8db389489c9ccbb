"""Experiment trackers that a run may write to, and the check that their packages are there. See docs/trackers.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version

from duolearn_cli.errors import ConfigError, nearest

# Each name is that of the package on PyPI, of our extra that installs it, and of the tracker in Accelerate.
TRACKERS = ("tensorboard", "mlflow", "trackio", "wandb")
# The commands that make a run with numbers to track.
TRACKED = ("unlearn", "learn", "retrain", "evaluate")


def track_problems(track: Sequence[str], command: str) -> Iterator[str]:
    """Yield the problems of the setting ``track``."""
    for name in track:
        if name not in TRACKERS:
            yield f"track={name}: allowed: {', '.join(TRACKERS)}{nearest(str(name), TRACKERS)}."
    if len(set(track)) < len(track):
        yield f"track=[{','.join(track)}]: a tracker is there twice; give each once."
    if track and command not in TRACKED:
        yield f"track: `duolearn {command}` cannot be tracked, only {', '.join(TRACKED)}; leave it out."


def check_packages(track: Sequence[str]) -> None:
    """Raise ConfigError if the package of a tracker is not installed."""
    missing = [name for name in track if not _is_installed(name)]
    if missing:
        raise ConfigError(
            f"track=[{','.join(track)}]: not installed: {', '.join(missing)}. "
            f"Fix: pip install 'duolearn[{','.join(missing)}]'."
        )


def _is_installed(name: str) -> bool:
    # Not `find_spec`: it takes a folder called wandb or mlflow in the current directory for the package.
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
