"""Settings that have moved: `duolearn inspect` and `hierarchy` had theirs at the top of the configuration.

Both commands still take the old names, which are shorter, and saved configurations of earlier versions hold them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig

# By command, the node that its settings are in now, and their names.
MOVED = {
    "inspect": ("inspect", ("item", "scores")),
    "hierarchy": ("hierarchy_view", ("action", "node", "text", "depth")),
}


def new_name(key: str, command: str | None = None) -> str | None:
    """The dotted key of a setting that had the name `key`, of one command or any; None where none had it."""
    for owner, (node, names) in MOVED.items():
        if key in names and command in (owner, None):
            return f"{node}.{key}"
    return None


def with_new_names(saved: DictConfig) -> DictConfig:
    """Return a saved configuration with today's names of its settings."""
    from omegaconf import OmegaConf  # help reads this file and must not wait for it

    renamed = saved.copy()
    for key in map(str, saved):
        if name := new_name(key):
            OmegaConf.update(renamed, name, renamed.pop(key), force_add=True)
    return renamed
