"""A check before a model is scored: are items and prompts limited as they were where the model comes from?"""

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
    """Return a note about limits that differ from those of the model's run, or of the preset with its shape; else "".

    Limits that `overrides` set are taken as intended.
    """
    config, overridden = study.config, set(map(key_of, overrides))
    for origin, limits in _origins(config).items():
        others = {
            key: value
            for key, value in limits.items()
            if key not in overridden and OmegaConf.select(cast(DictConfig, config), key) != value
        }
        if others:
            here = {key: OmegaConf.select(cast(DictConfig, config), key) for key in others}
            return (
                f"{origin} had other limits: {_listed(others)} there, {_listed(here)} here. For the same items and "
                f"prompts give {_listed(others)}."
            )
    return ""


def _listed(values: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={_plain(value)}" for key, value in values.items())


def _plain(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _origins(config: RunConfig) -> dict[str, Mapping[str, Any]]:
    """Return the limits by origin of the model: those of its run folder, else of the presets with its shape."""
    for path in filter(None, (config.adapter, config.model.path)):
        if run := Run.around(Path(path)):
            opened, saved = run
            return {f"the model of run {opened.folder}": dict(settings(saved))}
    shape = _shape(config.model, config.cache_dir)
    return {
        f"model={name}, which has this model's shape,": preset_limits(name)
        for name in groups()["model"]
        if shape and name != config.model.name and _preset_shape(name, config.cache_dir) == shape
    }


def _preset_shape(name: str, cache: str | None) -> Shape | None:
    """Return the shape of a preset's model if it is embedded or packaged. No request goes to the hub."""
    document = cast(DictConfig, OmegaConf.load(conf_dir() / "model" / f"{name}.yaml"))
    model = cast(ModelConfig, OmegaConf.merge(OmegaConf.structured(ModelConfig), document.model))
    return _shape(model, cache) if model.embedded or model.wheel else None


def _shape(model: ModelConfig, cache: str | None) -> Shape | None:
    try:
        return read_shape(find_weights(model, cache))
    except UserError:
        return None
