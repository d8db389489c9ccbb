"""Settings that have moved: those of `duolearn inspect` and `duolearn hierarchy` were at the top of the configuration.

Both commands still accept the old, shorter names. Saved configurations of earlier versions contain them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig

# For each command, the node that its settings are in now, and their names.
MOVED = {
    "inspect": ("inspect", ("item", "scores")),
    "hierarchy": ("hierarchy_view", ("action", "node", "text", "depth")),
}


def new_name(key: str, command: str | None = None) -> str | None:
    """Return the dotted key of the setting that was called `key`, of one command or of any; None if there was none."""
    for owner, (node, names) in MOVED.items():
        if key in names and command in (owner, None):
            return f"{node}.{key}"
    return None


def with_new_names(saved: DictConfig) -> DictConfig:
    """Return a saved configuration with today's names of its settings."""
    from omegaconf import OmegaConf  # not at the top: help imports this module and must stay fast

    renamed = saved.copy()
    for key in map(str, saved):
        if name := new_name(key):
            OmegaConf.update(renamed, name, renamed.pop(key), force_add=True)
    return renamed
