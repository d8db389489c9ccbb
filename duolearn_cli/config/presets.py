"""Which preset gives a setting the value that a run has when nothing else is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.config.catalogue import placed, preset_path
from duolearn_cli.config.components import component_class
from duolearn_cli.config.compose import unchecked
from duolearn_cli.errors import ConfigError
from duolearn_cli.files import conf_dir


@dataclass(frozen=True, slots=True)
class Composed:
    """The configuration of one command, and where its values are from.

    Attributes:
        values: each setting's value by its dotted key.
        sources: what sets it: ``model=tiny``, ``unlearn`` for the command's own file, or the override itself. A
            setting that is not here has the default of its class.
        choices: the option of each group.
    """

    values: Mapping[str, Any]
    sources: Mapping[str, str]
    choices: Mapping[str, str]


def composed(command: str, overrides: Sequence[str], config_dir: str | None, plugins: Sequence[str] = ()) -> Composed:
    """Compose as a run does, whether or not the configuration is complete.

    Raises:
        ConfigError: an override is wrong; one problem a line.
    """
    config, files = unchecked(command, overrides, config_dir)
    chosen = [_group_and_option(name) for name in files if not name.startswith("hydra/") and name != "run_schema"]
    extra = Path(config_dir) if config_dir else None
    sources = dict[str, str]()
    # In the order in which Hydra merges the files: the last one that sets a key is its source.
    for group, option in chosen:
        sources |= dict.fromkeys(preset_values(group, option, extra), f"{group}={option}" if group else option)
    values = leaves(_completed(config, plugins))
    # Last, as in a run: what the command line says wins over every file.
    sources |= {key: one for one in overrides if (key := one.lstrip("+~").partition("=")[0]) in values}
    return Composed(values, sources, {group: option for group, option in chosen if group})


def preset_values(group: str, option: str, extra: Path | None = None) -> dict[str, Any]:
    """What an option of a group sets, by dotted key; a file at the top of the folder if `group` is empty."""
    path = preset_path(group, option, extra) if group else conf_dir() / f"{option}.yaml"
    if path is None:
        return {}
    document = placed(path) if group else cast(DictConfig, OmegaConf.load(path))
    values = leaves(cast(dict[str, Any], OmegaConf.to_container(document)))
    return {key: value for key, value in values.items() if key.partition(".")[0] not in ("defaults", "hydra")}


def leaves(node: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of nested settings by dotted key. Not resolved: a name with the time of day is no use in help."""
    found = dict[str, Any]()
    for name, inner in node.items():
        if isinstance(inner, Mapping) and inner:
            found |= leaves(inner, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = inner
    return found


def _group_and_option(file: str) -> tuple[str, str]:
    group, _, option = file.rpartition("/")
    return group, option


def _completed(config: DictConfig, plugins: Sequence[str]) -> dict[str, Any]:
    """The configuration as plain values, with what the YAML of a component leaves to its class."""
    plain = cast(dict[str, Any], OmegaConf.to_container(config, resolve=False))
    for name, node in plain.items():
        if isinstance(node, Mapping) and "_target_" in node:
            try:
                schema = OmegaConf.structured(component_class(config[name], plugins))
            except ConfigError:
                continue  # a plugin that was not named: the values of its YAML are all that is known
            # Merged without types: a typed node refuses `_target_`, which is no field of the class.
            plain[name] = OmegaConf.to_container(
                OmegaConf.merge(OmegaConf.create(OmegaConf.to_container(schema)), node)
            )
    return plain
