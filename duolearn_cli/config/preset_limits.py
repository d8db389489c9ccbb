"""The settings of a model's preset that decide which items it is asked, and how.

A run saves them, so that its model can be scored later in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.files import conf_dir

# Groups of settings that decide which items there are and how they are asked.
ASKING = ("split", "prompt")


def preset_limits(name: str) -> dict[str, Any]:
    """Return what the shipped preset ``model=NAME`` sets of them, by dotted key; nothing if there is no such preset."""
    path = conf_dir() / "model" / f"{name}.yaml"
    if not path.is_file():
        return {}
    return dict(settings(cast(DictConfig, OmegaConf.load(path))))


def settings(config: DictConfig) -> Iterator[tuple[str, Any]]:
    """Yield all settings of these groups that a configuration has, by dotted key."""
    for group in ASKING:
        values: Any = OmegaConf.to_container(config.get(group) or OmegaConf.create({}), resolve=True)
        yield from ((f"{group}.{key}", value) for key, value in values.items())


def limits_of(config: Any) -> dict[str, Any]:
    """Return the run's values of the settings that its model's preset sets, for run.json."""
    return {key: OmegaConf.select(config, key) for key in preset_limits(Path(str(config.model.name)).name)}
