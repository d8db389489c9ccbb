"""A merged model with its record of requests as the start of the next request (``after=FOLDER``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.config.model import ModelConfig
from duolearn_cli.errors import ModelError, RunError
from duolearn_cli.model.adapter_files import ADAPTER_FILE
from duolearn_cli.model.weights import find_weights
from duolearn_cli.pipeline.requests import Chain, weight_files
from duolearn_cli.privacy.account import read_account

# What a model that lies in a folder as plain safetensors has for the other ways to find weights.
PLAIN = {"embedded": False, "wheel": None, "sha256": None, "gguf_file": None, "revision": None}


def is_merged(folder: Path) -> bool:
    """Whether a folder holds a whole model, not an adapter or a run."""
    has_weights = any(path.name != ADAPTER_FILE for path in folder.glob("*.safetensors"))
    return has_weights and (folder / "config.json").is_file() and not (folder / ADAPTER_FILE).is_file()


def begin_with_merged(config: DictConfig, folder: Path) -> None:
    """Make the merged model in `folder` the base of `config`, and the recorded base its origin, if that is here.

    Args:
        config: the configuration of the next request, with the model that the record names; changed in place.
    """
    origin = OmegaConf.merge(OmegaConf.structured(ModelConfig), OmegaConf.to_container(config.model))
    try:
        find_weights(cast(ModelConfig, origin), config.cache_dir)
        config.origin = [origin]
    except ModelError:
        config.origin = []  # the report says what is missing without it
    for name, value in {**PLAIN, "path": str(folder)}.items():
        config.model[name] = value
    config.merged = True


def merged_base(path: str | None, weights: Mapping[str, str], chain: Chain) -> Path:
    """Return the folder of the merged model that the last adapter of a chain lies on.

    Raises:
        RunError: it is not given, or its weights are not those that the record names.
    """
    name = chain.names[-1]
    if not path or not Path(path).is_dir():
        raise RunError(
            f"the adapter of {name} belongs on a merged model, which is not found; give model.path=FOLDER of that one."
        )
    if weight_files(Path(path)) != weights:
        raise RunError(f"model.path={path}: it is not the merged model that the adapter of {name} belongs on.")
    return Path(path)


def check_account(folder: Path, chain: Chain) -> None:
    """Raise RunError if requests of the chain have spent privacy and the account is missing beside the model."""
    if any(entry["privacy"] for entry in chain.entries) and read_account(folder) is None:
        raise RunError(
            f"after={folder}: its requests have spent privacy, and privacy.json is missing; copy the file from where "
            "the model comes from."
        )
