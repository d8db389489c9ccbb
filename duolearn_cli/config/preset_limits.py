"""Settings of a model's preset that decide what it is asked: a run keeps them, for whoever scores its model later."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.files import conf_dir

# Groups of settings that decide which items there are and how they are asked.
ASKING = ("split", "prompt")


def preset_limits(name: str) -> dict[str, Any]:
    """What the shipped preset ``model=NAME`` sets of these, by dotted key; nothing where there is no such preset."""
    path = conf_dir() / "model" / f"{name}.yaml"
    if not path.is_file():
        return {}
    return dict(settings(cast(DictConfig, OmegaConf.load(path))))


def settings(config: DictConfig) -> Iterator[tuple[str, Any]]:
    """All settings of these groups that a configuration has, by dotted key."""
    for group in ASKING:
        values: Any = OmegaConf.to_container(config.get(group) or OmegaConf.create({}), resolve=True)
        yield from ((f"{group}.{key}", value) for key, value in values.items())


def limits_of(config: Any) -> dict[str, Any]:
    """The values that a run has of what its model's preset sets, for run.json."""
    return {key: OmegaConf.select(config, key) for key in preset_limits(Path(str(config.model.name)).name)}
