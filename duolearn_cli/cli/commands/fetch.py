"""duolearn fetch: download a model's weights into the cache."""

from __future__ import annotations

from omegaconf import DictConfig

from duolearn_cli.cli.commands.common import Invocation
from duolearn_cli.model.weights import fetch


def run(config: DictConfig, invocation: Invocation) -> str:
    folder = fetch(config.model, config.cache_dir)
    print(f"{config.model.name} is in {folder}")
    return str(folder)
