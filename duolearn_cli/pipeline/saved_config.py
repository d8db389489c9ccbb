"""The configuration that a run folder keeps. It may come from someone else, so nothing in it is carried out."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from duolearn_cli.config.renamed import with_new_names
from duolearn_cli.config.safe_yaml import yaml_fault
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.errors import RunError
from duolearn_cli.files import read_text


def saved_configuration(path: Path) -> DictConfig:
    """Read config.yaml.

    Raises:
        RunError: it cannot be read, is not a configuration, or holds an interpolation. Runs save values, never
            ``${...}``: one would read this machine's environment (``${oc.env:TOKEN}``) into the files of a command.
    """
    text = read_text(path)
    try:
        if fault := yaml_fault(text):
            raise ValueError(fault)
        saved = OmegaConf.create(text) if text.strip() else None
        if not isinstance(saved, DictConfig):
            raise ValueError("a YAML object is needed")
        if unresolved := _interpolations(saved):
            raise ValueError(f"{unresolved[0]} holds an interpolation, which a run never saves")
        merged = OmegaConf.merge(OmegaConf.structured(RunConfig), with_new_names(saved))
    # TypeError, AttributeError, AssertionError: OmegaConf's, about what has an odd shape.
    except (
        *(ValueError, TypeError, AttributeError, AssertionError, RecursionError),
        *(YAMLError, OmegaConfBaseException),
    ) as error:
        detail = " ".join(str(error).split())
        raise RunError(f"{path} is not a saved configuration: {detail}.") from error
    return cast(DictConfig, merged)


def _interpolations(config: DictConfig) -> list[str]:
    """The keys of values that are interpolations, at any depth."""
    return [name for name, value in _leaves(OmegaConf.to_container(config, resolve=False), "") if "${" in value]


def _leaves(value: object, name: str) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in [*_leaves(inner, f"{name}.{key}"), (name, str(key))]]
    if isinstance(value, list):
        return [leaf for place, inner in enumerate(value) for leaf in _leaves(inner, f"{name}[{place}]")]
    return [(name.lstrip("."), value)] if isinstance(value, str) else []
