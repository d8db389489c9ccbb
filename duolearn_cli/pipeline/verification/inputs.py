"""Check what a run read from outside of its folder: data files, base weights, cached models, and the code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from omegaconf import DictConfig

from duolearn_cli.config.provenance import code
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.errors import ModelError
from duolearn_cli.model.weights import find_weights
from duolearn_cli.pipeline import record
from duolearn_cli.pipeline.verification.finding import Finding, not_checked
from duolearn_cli.pipeline.verification.integrity import changed


def of_inputs(config: DictConfig, info: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[Finding]:
    """Check that what is on this machine is what the run read. The rest is not checked."""
    settings = cast(RunConfig, config)
    yield from _data(settings, found)
    yield from _weights(settings, found)
    yield from _models(settings, info, found)
    own = code()
    # No fault: a run may be verified by a later version than the one that made it.
    if own["source"] != found["code"].get("source"):
        versions = f"{found['code'].get('version')}, and this is {own['version']}"
        yield not_checked("code", f"the run was made by other source files of duolearn ({versions})")


def _data(config: RunConfig, found: Mapping[str, Any]) -> Iterator[Finding]:
    roots = record.data_paths(config)
    for known in found["data_files"]:
        setting, name = known.get("setting"), str(known.get("name"))
        place = f"{setting} ({name})"
        here = record.files_at(roots[setting]) if setting in roots else {}
        if name not in here:
            yield not_checked(place, "the file is not where config.yaml says")
        elif problem := changed(here[name], known):
            yield Finding(place, f"the data are not those that the run read; {problem}")


def _weights(config: RunConfig, found: Mapping[str, Any]) -> Iterator[Finding]:
    place = f"base weights ({config.model.name})"
    try:
        weights = find_weights(config.model, config.cache_dir)
    except ModelError:
        yield not_checked(place, "the model is not on this machine")
        return
    if weights.digest() != found.get("base_weights"):
        yield Finding(place, f"those at {weights.location} are not the ones that the run was made with")


def _models(config: RunConfig, info: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[Finding]:
    here = record.model_files(info, config)
    for name, known in found["models"].items():
        place = f"{name} model ({known.get('name')})"
        if name not in here:
            yield not_checked(place, "its adapter is not on this machine")
        elif problem := changed(here[name], known):
            yield Finding(place, f"it is not the one that the run used; {problem}")
