"""Before a model is scored: is it asked what it was asked where it comes from?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.config.explain import key_of
from duolearn_cli.config.preset_limits import preset_limits, settings
from duolearn_cli.config.schema import ModelConfig, RunConfig
from duolearn_cli.errors import UserError
from duolearn_cli.files import conf_dir, groups
from duolearn_cli.model.shape import Shape, read_shape
from duolearn_cli.model.weights import find_weights
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.study import Study


def limits_note(study: Study, overrides: Sequence[str]) -> str:
    """Tell which settings its run, or the preset of a model of the same shape, has otherwise; empty where none.

    What `overrides` set is meant as it is.
    """
    config, given = study.config, set(map(key_of, overrides))
    for origin, asked in _origins(config).items():
        others = {
            key: value
            for key, value in asked.items()
            if key not in given and OmegaConf.select(cast(DictConfig, config), key) != value
        }
        if others:
            here = {key: OmegaConf.select(cast(DictConfig, config), key) for key in others}
            return (
                f"{origin} was asked otherwise: {_listed(others)} there, {_listed(here)} here. For the same items and "
                f"prompts give {_listed(others)}."
            )
    return ""


def _listed(values: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={_plain(value)}" for key, value in values.items())


def _plain(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _origins(config: RunConfig) -> dict[str, Mapping[str, Any]]:
    """Where the model comes from, and what decided there what was asked: the nearest run folder, else a preset."""
    for place in filter(None, (config.adapter, config.model.path)):
        if found := Run.around(Path(place)):
            opened, saved = found
            return {f"the model of run {opened.folder}": dict(settings(saved))}
    shape = _shape(config.model, config.cache_dir)
    return {
        f"model={name}, which has this model's shape,": preset_limits(name)
        for name in groups()["model"]
        if shape and name != config.model.name and _preset_shape(name, config.cache_dir) == shape
    }


def _preset_shape(name: str, cache: str | None) -> Shape | None:
    """The shape of a preset's model where it ships or was fetched; the hub is not asked."""
    document = cast(DictConfig, OmegaConf.load(conf_dir() / "model" / f"{name}.yaml"))
    model = cast(ModelConfig, OmegaConf.merge(OmegaConf.structured(ModelConfig), document.model))
    return _shape(model, cache) if model.embedded or model.wheel else None


def _shape(model: ModelConfig, cache: str | None) -> Shape | None:
    try:
        return read_shape(find_weights(model, cache))
    except UserError:
        return None
